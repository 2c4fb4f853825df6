//! Polls mutated systems, several at a time: each lane has a server whose answers are switched, and a runtime.

use std::{
    collections::HashMap,
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use proxymeter::{
    exposition::{Format, Options, UserLabels},
    model::{ActiveAlerts, Moment, Report},
    upstream::Upstream,
};

use super::{
    document,
    document::Edit,
    mutations::Mutation,
    system::{self, System},
};
use crate::common::{
    RECORDED_AT,
    exposition::{self as text_format, Sample, parse},
    read_once,
    server::{Act, Answer, Request, Server},
    shown,
};

/// All series of the polled system, or what is wrong with the text.
pub(super) type Polled = Result<Vec<Sample>, String>;
/// The answers that differ from the recorded ones, by their position.
type Switched = Arc<Mutex<HashMap<usize, Answer>>>;

/// No answer is slow here: a poll that takes so long does not end.
const ENDLESS: Duration = Duration::from_secs(60);
/// Every so many expositions are read in the other format too.
const OPEN_METRICS: usize = 16;
/// Every so many expositions are written for `MUTATION_SAMPLES`.
const SAMPLED: usize = 40;

/// Polls the system once for each of `mutants`, which are mutations made together, and hands what it gave to `done`.
pub(super) fn poll_all(system: &Arc<System>, mutants: &[Vec<Mutation>], done: impl Fn(usize, Polled) + Sync) {
    each(system, Clock::Recorded, mutants, |lane, number, mutant| {
        let polled = lane.poll(mutant);
        if let Ok(text) = &polled {
            keep(system.name, mutant, text);
        }
        done(number, polled.and_then(|text| read(number, &text)));
    });
}

/// Does something with each of `all`, in several lanes.
pub(super) fn each<T: Sync>(
    system: &Arc<System>,
    clock: Clock,
    all: &[T],
    work: impl Fn(&Lane, usize, &T) + Sync,
) {
    let next = AtomicUsize::new(0);
    let lanes = thread::available_parallelism().map_or(2, Into::into);
    thread::scope(|scope| {
        for _ in 0..lanes {
            scope.spawn(|| {
                let lane = Lane::open(Arc::clone(system), clock);
                while let number = next.fetch_add(1, Ordering::Relaxed)
                    && let Some(one) = all.get(number)
                {
                    work(&lane, number, one);
                }
            });
        }
    });
}

/// The paths that the client asks for, and what it makes of them unmutated.
pub(super) fn unmutated(system: &Arc<System>) -> (Vec<Request>, Polled) {
    let lane = Lane::open(Arc::clone(system), Clock::Recorded);
    let polled = lane.poll_and_remember(&[]).and_then(|text| read(0, &text));
    (lane.server.requests(), polled)
}

/// The clock of a panel.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Clock {
    /// That of the recorded answers.
    Recorded,
    /// Its answers have no date, so that it is taken for that of the client.
    Ours,
}

pub(super) struct Lane {
    system: Arc<System>,
    server: Server,
    switched: Switched,
    runtime: tokio::runtime::Runtime,
}

/// An exposition in both formats.
struct Texts {
    classic: String,
    open: String,
}

impl Lane {
    fn open(system: Arc<System>, clock: Clock) -> Lane {
        let switched = Switched::default();
        let (answers, polled) = (Arc::clone(&switched), Arc::clone(&system));
        let server = Server::start(move |request| {
            let at = polled.at(|polled| polled.is(request));
            let mutated = at.and_then(|at| answers.lock().unwrap().get(&at).cloned());
            let recorded = || (polled.panel)(&with_token(&polled, request));
            match clock {
                Clock::Recorded => mutated.unwrap_or_else(recorded),
                // The recorded panel knows only the hours in which it was recorded.
                Clock::Ours => {
                    let described = at.map(|at| answer(&polled.polled[at], &[]));
                    without_date(mutated.or(described).unwrap_or_else(recorded))
                }
            }
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Lane { system, server, switched, runtime }
    }

    fn poll(&self, mutant: &[Mutation]) -> Result<Texts, String> {
        let polled = self.poll_and_remember(mutant);
        self.forget_requests();
        polled
    }

    fn poll_and_remember(&self, mutant: &[Mutation]) -> Result<Texts, String> {
        self.switch(mutant);
        let report = self.within_bounds(read_once(self.client()))?;
        catch_unwind(|| texts(report)).map_err(|_| "the text panicked".into())
    }

    pub(super) fn forget_requests(&self) {
        self.server.forget_requests();
    }

    /// A new client of the system.
    pub(super) fn client(&self) -> Upstream {
        (self.system.client)(&self.server.url())
    }

    /// Mutates the answers from now on.
    pub(super) fn switch(&self, mutant: &[Mutation]) {
        let mut edits: HashMap<usize, Vec<Edit>> = HashMap::new();
        for mutation in mutant {
            let path = self.system.polled[mutation.polled].path;
            if let Some(at) = self.system.at(|polled| polled.path == path) {
                edits.entry(at).or_default().extend(mutation.edits.iter().cloned());
            }
        }
        let answers =
            edits.iter().map(|(at, edits)| (*at, answer(&self.system.polled[*at], edits))).collect();
        *self.switched.lock().unwrap() = answers;
    }

    /// What `reading` gives, if it ends without a panic.
    pub(super) fn within_bounds<T>(&self, reading: impl Future<Output = T>) -> Result<T, String> {
        let bounded = || self.runtime.block_on(async { tokio::time::timeout(ENDLESS, reading).await });
        match catch_unwind(AssertUnwindSafe(bounded)) {
            Ok(Ok(read)) => Ok(read),
            Ok(Err(_)) => Err("the poll does not end".into()),
            Err(panic) => {
                let words = panic.downcast_ref::<String>().cloned();
                Err(format!("panicked: {}", words.unwrap_or_default()))
            }
        }
    }
}

/// The recorded answer with these edits.
fn answer(polled: &system::Polled, edits: &[Edit]) -> Answer {
    let body = document::text(&polled.body, edits);
    let kind = edits.iter().find_map(|edit| match edit {
        Edit::Kind(kind) => Some(*kind),
        _ => None,
    });
    let headers: Vec<_> = polled
        .headers
        .iter()
        .filter_map(|(name, value)| match (name.as_str(), kind) {
            ("content-type", Some(kind)) => Some(("content-type", kind?)),
            (name, _) => Some((name, value.as_str())),
        })
        .collect();
    Answer::new(200, &headers, body)
}

/// The request with the recorded token: a mutated token is as good as another.
fn with_token(system: &System, request: &Request) -> Request {
    let mut request = request.clone();
    let token =
        system.polled.first().and_then(|login| login.body["access_token"].as_str()).unwrap_or_default();
    for (name, value) in &mut request.headers {
        if name.eq_ignore_ascii_case("authorization") {
            *value = format!("Bearer {token}");
        }
    }
    request
}

fn without_date(mut answer: Answer) -> Answer {
    const DATE: &[u8] = b"\r\ndate:";
    for act in &mut answer.0 {
        if let Act::Send(bytes) = act
            && let Some(at) = bytes.windows(DATE.len()).position(|name| name.eq_ignore_ascii_case(DATE))
        {
            bytes[at + 2] = b'x';
        }
    }
    answer
}

fn texts(report: Report) -> Texts {
    let reports = [Arc::new(report)];
    let now = Moment {
        wall: RECORDED_AT.saturating_add(Duration::from_secs(1)),
        uptime: Duration::from_secs(3600),
    };
    let [classic, open] =
        [Format::Classic, Format::OpenMetrics].map(|format| rendered(&reports, now, format));
    Texts { classic, open }
}

pub(super) fn rendered(reports: &[Arc<Report>], now: Moment, format: Format) -> String {
    let options = Options {
        labels: UserLabels::Name,
        limit: 1000,
        inbounds: true,
        used_today: false,
        budgets: Vec::new(),
    };
    shown::text(reports, &ActiveAlerts::default(), &options, now, format)
}

fn read(number: usize, texts: &Texts) -> Polled {
    if number.is_multiple_of(OPEN_METRICS) {
        parse(text_format::Format::OpenMetrics, &texts.open)?;
    }
    parse(text_format::Format::Classic, &texts.classic)
}

/// Writes some of the expositions to the folder `MUTATION_SAMPLES`, for other parsers.
fn keep(system: &str, mutant: &[Mutation], texts: &Texts) {
    static MUTANTS: AtomicUsize = AtomicUsize::new(0);
    let Some(folder) = std::env::var_os("MUTATION_SAMPLES").map(PathBuf::from) else { return };
    let number = MUTANTS.fetch_add(1, Ordering::Relaxed);
    if !mutant.is_empty() && number.is_multiple_of(SAMPLED) {
        let name = format!("{}-{number}.prom", system.replace(' ', "-"));
        fs::write(folder.join(name), &texts.classic).unwrap();
    }
}
