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
    exposition::{self, Coding, Format, Options, Tail, UserLabels},
    model::{ActiveAlerts, Moment, Report},
};

use super::{document, document::Edit, mutations::Mutation, system::System};
use crate::common::{
    RECORDED_AT,
    exposition::{self as text_format, Sample, parse},
    read_once,
    server::{Answer, Request, Server},
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
    let next = AtomicUsize::new(0);
    let lanes = thread::available_parallelism().map_or(2, Into::into);
    thread::scope(|scope| {
        for _ in 0..lanes {
            scope.spawn(|| {
                let lane = Lane::open(Arc::clone(system));
                while let number = next.fetch_add(1, Ordering::Relaxed)
                    && let Some(mutant) = mutants.get(number)
                {
                    let polled = lane.poll(mutant);
                    if let Ok(text) = &polled {
                        keep(system.name, mutant, text);
                    }
                    done(number, polled.and_then(|text| read(number, &text)));
                }
            });
        }
    });
}

/// The paths that the client asks for, and what it makes of them unmutated.
pub(super) fn unmutated(system: &Arc<System>) -> (Vec<Request>, Polled) {
    let lane = Lane::open(Arc::clone(system));
    let polled = lane.poll_and_remember(&[]).and_then(|text| read(0, &text));
    (lane.server.requests(), polled)
}

struct Lane {
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
    fn open(system: Arc<System>) -> Lane {
        let switched = Switched::default();
        let (answers, polled) = (Arc::clone(&switched), Arc::clone(&system));
        let server = Server::start(move |request| {
            let at = polled.polled.iter().position(|polled| polled.is(request));
            let mutated = at.and_then(|at| answers.lock().unwrap().get(&at).cloned());
            mutated.unwrap_or_else(|| (polled.panel)(&with_token(&polled, request)))
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Lane { system, server, switched, runtime }
    }

    fn poll(&self, mutant: &[Mutation]) -> Result<Texts, String> {
        let polled = self.poll_and_remember(mutant);
        self.server.forget_requests();
        polled
    }

    fn poll_and_remember(&self, mutant: &[Mutation]) -> Result<Texts, String> {
        let mut edits: HashMap<usize, Vec<Edit>> = HashMap::new();
        for mutation in mutant {
            edits.entry(mutation.polled).or_default().extend(mutation.edits.iter().cloned());
        }
        let answers = edits.iter().map(|(at, edits)| (*at, self.answer(*at, edits))).collect();
        *self.switched.lock().unwrap() = answers;
        let client = (self.system.client)(&self.server.url());
        let poll = || self.runtime.block_on(async { tokio::time::timeout(ENDLESS, read_once(client)).await });
        match catch_unwind(AssertUnwindSafe(poll)) {
            Ok(Ok(report)) => catch_unwind(|| texts(report)).map_err(|_| "the text panicked".into()),
            Ok(Err(_)) => Err("the poll does not end".into()),
            Err(panic) => {
                let words = panic.downcast_ref::<String>().cloned();
                Err(format!("panicked: {}", words.unwrap_or_default()))
            }
        }
    }

    fn answer(&self, at: usize, edits: &[Edit]) -> Answer {
        let polled = &self.system.polled[at];
        let body = document::text(&polled.body, edits);
        let kind = edits.iter().find_map(|edit| match edit {
            Edit::Kind(kind) => Some(*kind),
            _ => None,
        });
        let headers: Vec<_> = polled
            .headers
            .iter()
            .map(|(name, value)| match (name.as_str(), kind) {
                ("content-type", Some(kind)) => ("content-type", kind),
                (name, _) => (name, value.as_str()),
            })
            .collect();
        Answer::new(200, &headers, body)
    }
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

fn texts(report: Report) -> Texts {
    let reports = [Arc::new(report)];
    let now = Moment {
        wall: RECORDED_AT.saturating_add(Duration::from_secs(1)),
        uptime: Duration::from_secs(3600),
    };
    let options = Options { labels: UserLabels::Name, limit: 1000, inbounds: true };
    let [classic, open] = [Format::Classic, Format::OpenMetrics].map(|format| {
        let rendered = exposition::render(&reports, now, &options, format, Coding::Identity);
        let tail = Tail { alerts: &ActiveAlerts::default(), own: &[] };
        String::from_utf8(rendered.complete(&tail, None).concat()).unwrap()
    });
    Texts { classic, open }
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
