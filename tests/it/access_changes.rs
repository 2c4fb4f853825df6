//! What guards the HTTP port while it runs: files that change, break and are mended.

use std::{fs, sync::Arc};

use proxymeter::server::{
    access::Access,
    config::{AccessConfig, OwnAccess},
};

use crate::common::{
    canary,
    pki::Pki,
    port::{CONFIG, PATHS, Port, basic, hash, own, own_tls, talk, users},
};

#[tokio::test]
async fn a_new_certificate_is_shown_and_a_broken_one_is_not() {
    let log = canary::log();
    let folder = tempfile::tempdir().unwrap();
    let (pki, others) = (Pki::new(), Pki::new());
    pki.write(folder.path());
    let tls = Some(own_tls(folder.path(), None));
    let port = Port::open(AccessConfig::Own(OwnAccess { tls, ..OwnAccess::default() })).await;
    let (client, other) = (pki.client(None), others.client(None));
    let mut kept = port.handshake(&client).await.unwrap();
    assert_eq!(talk(&mut kept, "GET", "/metrics", &[]).await.unwrap().status, 200);

    // Half a change: the certificate is there, its key is not.
    let others_files = tempfile::tempdir().unwrap();
    others.write(others_files.path());
    let certificate = folder.path().join("server.pem");
    fs::copy(others_files.path().join("server.pem"), &certificate).unwrap();
    Port::files_are_due().await;
    for _ in 0..3 {
        assert_eq!(port.get_tls(&client, &[]).await.unwrap(), 200);
    }
    assert_eq!(talk(&mut kept, "GET", "/metrics", &[]).await.unwrap().status, 200);
    assert_eq!(port.own("proxymeter_web_config_up"), 0.0);
    let told = |log: &canary::Log| {
        let name = certificate.display().to_string();
        log.text().lines().filter(|line| line.contains("ERROR") && line.contains(&name)).count()
    };
    assert_eq!(told(&log), 1);

    fs::copy(others_files.path().join("server-key.pem"), folder.path().join("server-key.pem")).unwrap();
    Port::files_are_due().await;
    assert_eq!(port.get_tls(&other, &[]).await.unwrap(), 200);
    port.get_tls(&client, &[]).await.unwrap_err();
    assert_eq!(port.own("proxymeter_web_config_up"), 1.0);
    // One that was made with the old certificate is not used any longer.
    talk(&mut kept, "GET", "/metrics", &[]).await.unwrap_err();

    fs::remove_file(&certificate).unwrap();
    Port::files_are_due().await;
    assert_eq!(port.get_tls(&other, &[]).await.unwrap(), 200);
    assert_eq!((port.own("proxymeter_web_config_up"), told(&log)), (0.0, 2));
}

#[tokio::test]
async fn other_authorities_hold_a_second_later() {
    let folder = tempfile::tempdir().unwrap();
    let (pki, others) = (Pki::new(), Pki::new());
    pki.write(folder.path());
    let tls = Some(own_tls(folder.path(), Some("ca.pem")));
    let port = Port::open(AccessConfig::Own(OwnAccess { tls, ..OwnAccess::default() })).await;
    let friend = pki.client(Some(&pki.issue(&["prometheus"])));
    let newcomer = pki.client(Some(&others.issue(&["prometheus"])));
    let mut kept = port.handshake(&friend).await.unwrap();
    assert_eq!(talk(&mut kept, "GET", "/metrics", &[]).await.unwrap().status, 200);

    fs::write(folder.path().join("ca.pem"), others.authority()).unwrap();
    Port::files_are_due().await;
    assert_eq!(port.get_tls(&newcomer, &[]).await.unwrap(), 200);
    port.get_tls(&friend, &[]).await.unwrap_err();
    talk(&mut kept, "GET", "/metrics", &[]).await.unwrap_err();
}

#[tokio::test]
async fn a_changed_web_file_holds_a_second_later() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("web.yml");
    let with = |password: &str| format!("basic_auth_users:\n  alice: {}\n", hash(password));
    fs::write(&file, with("first")).unwrap();
    let port = Port::open(AccessConfig::WebFile(file.clone())).await;
    let (first, second) = (basic("alice", "first"), basic("alice", "second"));
    let mut kept = port.connect().await;
    for (change, statuses) in [
        (None, [200, 401, 401]),
        (Some(with("second")), [401, 200, 401]),
        (Some("basic_auth_users:\n  alice: second\n".to_owned()), [500, 500, 500]),
        (Some(with("first")), [200, 401, 401]),
        (Some("basic_auth_users: [".to_owned()), [500, 500, 500]),
        (Some(String::new()), [200, 200, 200]),
        (Some(with("second")), [401, 200, 401]),
    ] {
        if let Some(text) = &change {
            fs::write(&file, text).unwrap();
            Port::files_are_due().await;
        }
        for (header, status) in [&*first, &second, "X: y"].into_iter().zip(statuses) {
            let answer = talk(&mut kept, "GET", "/metrics", &[header]).await.unwrap();
            assert_eq!(answer.status, status, "{change:?}");
        }
        let up = f64::from(u8::from(statuses != [500; 3]));
        assert_eq!(port.own("proxymeter_web_config_up"), up, "{change:?}");
    }
    fs::remove_file(&file).unwrap();
    Port::files_are_due().await;
    for path in PATHS {
        let answer = talk(&mut kept, "GET", path, &[&second]).await.unwrap();
        assert_eq!(answer.status, 500, "{path}");
        assert!(!answer.body.contains("home") && !answer.body.contains(CONFIG), "{}", answer.body);
    }
}

#[tokio::test]
async fn a_web_file_turns_tls_neither_on_nor_off() {
    let log = canary::log();
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki::new();
    pki.write(folder.path());
    let client = pki.client(None);
    let file = folder.path().join("web.yml");
    let tls = "tls_server_config:\n  cert_file: server.pem\n  key_file: server-key.pem\n";
    let guarded = format!("{tls}basic_auth_users:\n  alice: {}\n", hash("right"));
    let right = basic("alice", "right");
    fs::write(&file, "").unwrap();
    let port = Port::open(AccessConfig::WebFile(file.clone())).await;
    let mut plain = port.connect().await;
    assert_eq!(talk(&mut plain, "GET", "/metrics", &[]).await.unwrap().status, 200);

    // What else it says holds.
    fs::write(&file, &guarded).unwrap();
    Port::files_are_due().await;
    for (header, status) in [(&*right, 200), ("X: y", 401)] {
        assert_eq!(talk(&mut plain, "GET", "/metrics", &[header]).await.unwrap().status, status);
        assert_eq!(port.get(&[header]).await, status);
    }
    assert!(log.text().contains("opened without TLS"));
    port.handshake(&client).await.unwrap_err();

    let port = Port::open(AccessConfig::WebFile(file.clone())).await;
    let mut kept = port.handshake(&client).await.unwrap();
    assert_eq!(talk(&mut kept, "GET", "/metrics", &[&right]).await.unwrap().status, 200);
    for gone in ["", "http_server_config:\n  http2: false\n", "tls_server_config: {}\n"] {
        fs::write(&file, gone).unwrap();
        Port::files_are_due().await;
        talk(&mut port.connect().await, "GET", "/metrics", &[]).await.unwrap_err();
        port.handshake(&client).await.unwrap_err();
        let answer = talk(&mut kept, "GET", "/metrics", &[&right]).await.unwrap();
        assert!(answer.status == 500 && !answer.body.contains("home"), "{gone:?}: {answer:?}");
        assert_eq!(port.own("proxymeter_web_config_up"), 0.0, "{gone:?}");
    }
    assert!(log.text().contains("tls_server_config is gone"));

    fs::write(&file, tls).unwrap();
    Port::files_are_due().await;
    let mut kept = port.handshake(&client).await.unwrap();
    assert_eq!(talk(&mut kept, "GET", "/metrics", &[]).await.unwrap().status, 200);
    assert_eq!(port.own("proxymeter_web_config_up"), 1.0);

    // Broken: nobody gets in, neither by TLS nor without, and those who are in learn nothing.
    fs::write(&file, "tls_server_config:\n  cert_file: server.pem\n").unwrap();
    Port::files_are_due().await;
    port.handshake(&client).await.unwrap_err();
    talk(&mut port.connect().await, "GET", "/metrics", &[]).await.unwrap_err();
    assert_eq!(talk(&mut kept, "GET", "/metrics", &[]).await.unwrap().status, 500);

    fs::write(&file, tls).unwrap();
    Port::files_are_due().await;
    assert_eq!(port.get_tls(&client, &[]).await.unwrap(), 200);
}

#[tokio::test]
async fn the_way_in_can_be_replaced() {
    let port = Port::open(AccessConfig::default()).await;
    let mut kept = port.connect().await;
    assert_eq!(talk(&mut kept, "GET", "/", &[]).await.unwrap().status, 200);
    let closed = Access::open(&own(users(&[]), Some("token")), &port.telemetry).unwrap();
    port.setup.send_modify(|setup| Arc::make_mut(setup).access = Arc::new(closed));
    assert_eq!(talk(&mut kept, "GET", "/", &[]).await.unwrap().status, 401);
    let token = ["Authorization: Bearer token"];
    assert_eq!(talk(&mut kept, "GET", "/", &token).await.unwrap().status, 200);
}

#[tokio::test]
async fn passwords_that_were_right_are_remembered_by_the_next_configuration() {
    let before = users(&[("alice", "right")]);
    let port = Port::open(own(before.clone(), None)).await;
    let right = basic("alice", "right");
    let replace = |config| {
        let next = port.setup.borrow().access.reopen(&config).unwrap();
        port.setup.send_modify(|setup| Arc::make_mut(setup).access = Arc::new(next));
    };
    let checks = || port.own("proxymeter_http_password_checks_total");
    assert_eq!((port.get(&[&right]).await, checks()), (200, 1.0));
    replace(own(before, Some("token")));
    assert_eq!((port.get(&[&right]).await, checks()), (200, 1.0));
    replace(own(users(&[("alice", "other")]), None));
    assert_eq!((port.get(&[&right]).await, checks()), (401, 2.0));
}
