use super::*;
use crate::wording::Voice;
use crate::{
    alert::{
        config::{AlertingConfig, MuteConfig, RuleConfig},
        finding::findings,
        rule::Rules,
        state::Event,
        testing::{HOUR, Panel, at, config},
    },
    model::{Report, Severity},
};

/// One receiver with a repeat interval of an hour.
struct Desk {
    rules: Rules,
    state: State,
    groups: Groups,
    now: u64,
    flushes: usize,
}

impl Desk {
    fn new(mutes: &BTreeMap<String, MuteConfig>) -> Self {
        let at_once = RuleConfig { for_: Some(Duration::ZERO), ..RuleConfig::default() };
        let rules = ["target_down", "host_disk"].map(|name| (name.to_owned(), at_once.clone()));
        let route = Route {
            receiver: "ops".into(),
            min_severity: Severity::Info,
            send_resolved: true,
            group_by: vec!["alertname".into()],
            group_wait: Duration::from_secs(30),
            group_interval: Duration::from_secs(300),
            repeat_interval: Some(Duration::from_secs(HOUR)),
            voice: Voice::default(),
            standing: false,
            digest: None,
            statements: Vec::new(),
        };
        Desk {
            rules: Rules::new(&AlertingConfig { rules: rules.into(), ..config() }).unwrap(),
            state: State::new(at(0)),
            groups: Groups::new(vec![route], Quiet::new(Mutes::new(mutes).unwrap(), Silences::default())),
            now: 0,
            flushes: 0,
        }
    }

    fn observe(&mut self, report: &Report) {
        let now = at(self.now);
        for event in self.state.advance(&findings(&self.rules, report, now), now).events {
            match event {
                Event::Fired(id) => self.groups.add(&self.state.alert(&id).unwrap(), now),
                Event::Resolved(id) if self.groups.resolve(&id, now) => {}
                Event::Resolved(id) => self.state.forget(&id),
                Event::Dropped(id) => self.groups.drop_alert(&id, now),
            }
        }
    }

    /// The alert name and the second of every message until then.
    fn pass(&mut self, until: u64) -> Vec<(String, u64)> {
        let mut told = Vec::new();
        while let Some(due) = self.groups.due().filter(|due| *due <= at(until).uptime) {
            self.now = (due - at(0).uptime).as_secs();
            self.flushes += 1;
            assert!(self.flushes < 1000, "a busy loop");
            self.groups.look(&mut self.state, at(self.now));
            while let Some(composed) =
                self.groups.next("ops", Pick::Urgent, Size::default(), &mut self.state, None, at(self.now))
            {
                let Message { id, .. } = composed.message;
                self.groups.settle("ops", &id, &Outcome::Taken, &mut self.state, at(self.now));
                told.push((composed.notice.group_labels["alertname"].clone(), self.now));
            }
        }
        self.now = until;
        told
    }
}

#[test]
fn a_repetition_that_falls_into_a_mute_is_sent_once_after_it() {
    // Tests begin at 11:06:40.
    let noon = MuteConfig {
        days: Vec::new(),
        hours: Some((12 * 60, 14 * 60)),
        zone: "UTC".into(),
        matchers: BTreeMap::new(),
        below: None,
    };
    let mut desk = Desk::new(&BTreeMap::from([("noon".to_owned(), noon)]));
    let mut panel = Panel::new("home");
    desk.observe(&panel.down(at(0)));
    let times: Vec<_> = desk.pass(15_000).into_iter().map(|(_, secs)| secs).collect();
    assert_eq!(times, [30, 10_400, 14_000]);
    // One for each message, one after each, and one when the mute begins to hold it back.
    assert_eq!(desk.flushes, 7, "no look while it is muted");
}

#[test]
fn what_was_inhibited_is_repeated_when_it_is_no_more() {
    let mut desk = Desk::new(&BTreeMap::new());
    let mut panel = Panel::new("home");
    (panel.report.host.disk_used, panel.report.host.disk_size) = (Some(90), Some(100));
    desk.observe(&panel.poll(at(0)));
    let of_disk = |told: Vec<(String, u64)>| -> Vec<u64> {
        told.into_iter().filter(|(name, _)| name == "ProxymeterHostDisk").map(|(_, secs)| secs).collect()
    };
    assert_eq!(of_disk(desk.pass(HOUR)), [30]);
    desk.observe(&panel.down(at(HOUR)));
    assert_eq!(of_disk(desk.pass(2 * HOUR)), Vec::<u64>::new());
    desk.observe(&panel.poll(at(2 * HOUR)));
    let told = of_disk(desk.pass(3 * HOUR));
    assert!(matches!(told[..], [secs] if secs <= 2 * HOUR + 300), "{told:?}");
}
