//! A receiver that is reached by a proxy is reached by it alone: nothing goes direct, and no name is looked up here.

use super::*;

fn by_proxy(proxy: &str, url: &str) -> WebhookConfig {
    WebhookConfig { proxy: Some(proxy.into()), ..config(url) }
}

/// The names and ports that a proxy was asked for.
type Asked = Arc<Mutex<Vec<(String, u16)>>>;

/// A SOCKS proxy (RFC 1928) without authentication that answers everything with `reply`, where 0 grants it.
fn socks(reply: u8) -> (Receiver, Asked) {
    let asked = Asked::default();
    let seen = Arc::clone(&asked);
    let greet = move |stream: &mut TcpStream| {
        let mut greeting = [0; 2];
        stream.read_exact(&mut greeting).unwrap();
        stream.read_exact(&mut vec![0; greeting[1].into()]).unwrap();
        stream.write_all(&[5, 0]).unwrap();
        let mut head = [0; 5];
        stream.read_exact(&mut head).unwrap();
        assert_eq!(head[..4], [5, 1, 0, 3], "a connection to a name");
        let mut name = vec![0; head[4].into()];
        stream.read_exact(&mut name).unwrap();
        let mut port = [0; 2];
        stream.read_exact(&mut port).unwrap();
        seen.lock().unwrap().push((String::from_utf8(name).unwrap(), u16::from_be_bytes(port)));
        stream.write_all(&[5, reply, 0, 1, 127, 0, 0, 1, 0, 80]).unwrap();
    };
    (Receiver::after(greet, |_, _| Answer::status(200)), asked)
}

#[tokio::test]
async fn an_http_proxy_is_used_for_everything() {
    let target = Receiver::start(|_, _| Answer::status(200));
    let proxy = Receiver::start(|_, request| {
        if request.line.starts_with("CONNECT") { Answer::status(502) } else { Answer::status(200) }
    });
    let url = format!("http://me:secret@{}", proxy.address);
    let near = format!("https://{}/hook", target.address);
    send(&by_proxy(&url, "http://receiver.invalid/hook"), &notice()).await.unwrap();
    send(&by_proxy(&url, &target.url()), &notice()).await.unwrap();
    for tunnelled in ["https://receiver.invalid/hook", &near] {
        let err = send(&by_proxy(&url, tunnelled), &notice()).await.unwrap_err();
        assert_eq!((err.reason.label(), err.retry), ("connect", Retry::Later), "{err}");
    }
    let lines: Vec<_> = proxy.requests().into_iter().map(|request| request.line).collect();
    assert_eq!(
        lines,
        [
            "POST http://receiver.invalid/hook HTTP/1.1".to_owned(),
            format!("POST {} HTTP/1.1", target.url()),
            "CONNECT receiver.invalid:443 HTTP/1.1".to_owned(),
            format!("CONNECT {} HTTP/1.1", target.address),
        ]
    );
    for request in proxy.requests() {
        assert_eq!(request.header("proxy-authorization"), Some("Basic bWU6c2VjcmV0"));
        assert_eq!(request.body.is_empty(), request.line.starts_with("CONNECT"));
    }
    assert!(target.requests().is_empty());
}

#[tokio::test]
async fn a_socks_proxy_resolves_the_name() {
    let target = Receiver::start(|_, _| Answer::status(200));
    let (proxy, asked) = socks(0);
    let url = format!("socks5h://{}", proxy.address);
    let port = target.address.port();
    send(&by_proxy(&url, "http://receiver.invalid/hook"), &notice()).await.unwrap();
    // A name that could be resolved here, too.
    send(&by_proxy(&url, &format!("http://localhost:{port}/hook")), &notice()).await.unwrap();
    assert_eq!(proxy.requests().len(), 2);
    assert_eq!(proxy.requests()[0].line, "POST /hook HTTP/1.1");
    // The proxy is no TLS server, but it hears for whom the handshake is meant.
    assert!(send(&by_proxy(&url, "https://receiver.invalid/hook"), &notice()).await.is_err());
    let expected = [("receiver.invalid", 80), ("localhost", port), ("receiver.invalid", 443)];
    assert_eq!(*asked.lock().unwrap(), expected.map(|(name, port)| (name.to_owned(), port)));
    assert!(target.requests().is_empty());
}

/// It is told at once: no attempt can succeed until the configuration changes.
#[tokio::test]
async fn a_proxy_that_wants_another_login_refuses_everything() {
    let proxy = Receiver::start(|_, _| Answer::status(407));
    let url = format!("http://me:secret@{}", proxy.address);
    for asked in ["http://receiver.invalid/hook", "https://receiver.invalid/hook"] {
        let err = send(&by_proxy(&url, asked), &notice()).await.unwrap_err();
        assert_eq!((err.reason.label(), err.retry), ("auth", Retry::Refused), "{asked}: {err}");
        assert!(err.detail.contains("write the right user name and password into its URL"), "{err}");
    }
}

/// Each receiver has its own way, and none has a way around its proxy.
#[tokio::test]
async fn a_proxy_that_fails_is_not_gone_around() {
    let target = Receiver::start(|_, _| Answer::status(200));
    let near = format!("http://localhost:{}/hook", target.address.port());
    let closed = closed_address();
    let (refusing, asked) = socks(2);
    for proxy in
        [format!("http://{closed}"), format!("socks5h://{closed}"), format!("socks5h://{}", refusing.address)]
    {
        let err = send(&by_proxy(&proxy, &near), &notice()).await.unwrap_err();
        assert_eq!((err.reason.label(), err.retry), ("connect", Retry::Later), "{proxy}: {err}");
    }
    assert_eq!(asked.lock().unwrap().len(), 1);
    assert!(target.requests().is_empty());
    send(&config(&near), &notice()).await.unwrap();
    assert_eq!(target.requests().len(), 1);
}
