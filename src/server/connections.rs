//! Open connections: their time limits, and which one is closed when there are too many.
//!
//! There is no queue for connections. When all places are taken, the connection that has been idle for longest is closed,
//! or else the one whose answer has taken longest. So idle and slow clients cannot lock out scrapers. Clients share a
//! rendered page, but a slow one still holds an old page: when old pages take too much memory, the client that has read
//! nothing for longest is disconnected.

use std::{
    collections::HashMap,
    future::pending,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep_until, timeout_at},
};

/// Beyond this, the one that has been idle for longest makes room.
const MAX_CONNECTIONS: usize = 512;

/// From the connection, or from the first byte of a further request, to the end of the request's head. TLS is agreed
/// upon within it.
const ASK_WITHIN: Duration = Duration::from_secs(20);

/// Longer than scrape intervals usually are, so that scrapers find their connection still open.
const IDLE_LIMIT: Duration = Duration::from_secs(150);

/// Longer than scrapers usually wait for an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(120);

/// A connection whose client reads nothing of its answer for so long is closed.
pub(super) const STALL_LIMIT: Duration = Duration::from_secs(10);

/// Bytes that all answers being sent may keep in memory, beside a new one. Scrapers share a page, but a slow scraper
/// still reads an old one.
const MAX_SENDING: usize = 128 * 1024 * 1024;

/// If there is no room for an answer by then, other connections are closed for it.
const ROOM_WITHIN: Duration = Duration::from_secs(1);

/// All that are open.
#[derive(Debug, Default)]
pub(super) struct Connections {
    places: Mutex<Places>,
    /// An answer is sent, or a connection has ended.
    freed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Places {
    places: HashMap<u64, Arc<Place>>,
    next: u64,
}

impl Connections {
    /// A place for a new connection from `peer` to our address `local`. When there is none, another one has to leave.
    pub(super) fn enter(self: &Arc<Self>, peer: IpAddr, local: IpAddr) -> Seat {
        let mut all = self.lock();
        if all.places.len() >= MAX_CONNECTIONS {
            all.dismiss_one();
        }
        let id = all.next;
        all.next = id.wrapping_add(1);
        let place = Arc::new(Place::new(peer, local, Arc::clone(&self.freed)));
        all.places.insert(id, Arc::clone(&place));
        Seat { connections: Arc::clone(self), id, place }
    }

    /// Closes one: the longest idle, or else the one that has been answered for longest.
    pub(super) fn dismiss_one(&self) {
        self.lock().dismiss_one();
    }

    /// Waits until there is room in memory for what an answer holds, and reserves it for `place` until the answer is sent. If
    /// there is none for a time, the connections that have read nothing for longest are closed.
    pub(super) async fn make_room(&self, place: &Place, held: Vec<Held>) {
        if held.is_empty() {
            return;
        }
        let patience = Instant::now() + ROOM_WITHIN;
        loop {
            let freed = self.freed.notified();
            {
                let mut all = self.lock();
                while !all.has_room(&held) && Instant::now() >= patience && all.dismiss_slowest(&held) {}
                if all.has_room(&held) || Instant::now() >= patience {
                    place.activity().held = held;
                    return;
                }
            }
            // Whichever it was, it is looked at again.
            drop(timeout_at(patience, freed).await);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Places {
    fn dismiss_one(&mut self) {
        let first = self.places.iter().min_by_key(|(_, place)| {
            let activity = place.activity();
            (activity.doing.is_answer(), activity.since)
        });
        let id = first.map(|(id, _)| *id);
        self.dismiss(id);
    }

    /// Closes the connection that has read nothing for longest of those that keep an answer in memory, preferring those
    /// with another answer than the one that holds `held`. Returns whether there was one.
    fn dismiss_slowest(&mut self, held: &[Held]) -> bool {
        let sending = self.places.iter().filter(|(_, place)| !place.activity().held.is_empty());
        let slowest = sending.min_by_key(|(_, place)| {
            let activity = place.activity();
            (activity.held.iter().any(|piece| held.contains(piece)), activity.taken)
        });
        let id = slowest.map(|(id, _)| *id);
        self.dismiss(id);
        id.is_some()
    }

    fn dismiss(&mut self, id: Option<u64>) {
        if let Some(place) = id.and_then(|id| self.places.remove(&id)) {
            place.leave.notify_one();
        }
    }

    /// Whether what is being sent beside `held` is little enough. However many share a piece, it is in memory once.
    fn has_room(&self, held: &[Held]) -> bool {
        let mut others = HashMap::new();
        for place in self.places.values() {
            others.extend(place.activity().held.iter().map(|held| (held.at, held.size)));
        }
        for Held { at, .. } in held {
            others.remove(at);
        }
        others.values().sum::<usize>() <= MAX_SENDING
    }
}

/// What an answer keeps in memory: where it is, and its size in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) at: usize,
    pub(super) size: usize,
}

/// A connection's place among the others, until it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    connections: Arc<Connections>,
    id: u64,
    pub(super) place: Arc<Place>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.connections.lock().places.remove(&self.id);
        self.connections.freed.notify_waiters();
    }
}

/// The client of a connection, and what the connection does.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) peer: IpAddr,
    /// Our address that it came to.
    pub(super) local: IpAddr,
    activity: Mutex<Activity>,
    leave: Notify,
    freed: Arc<Notify>,
}

#[derive(Debug)]
struct Activity {
    doing: Doing,
    since: Instant,
    /// When the client last took something of an answer.
    taken: Instant,
    /// By the answer that is being sent.
    held: Vec<Held>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    /// Has yet to send a request's head.
    Asking,
    Answering,
    /// All of the answer is written, but not all of it sent.
    Written,
    Idle,
}

impl Doing {
    fn is_answer(self) -> bool {
        matches!(self, Doing::Answering | Doing::Written)
    }

    fn limit(self) -> Duration {
        match self {
            Doing::Asking => ASK_WITHIN,
            Doing::Answering | Doing::Written => ANSWER_WITHIN,
            Doing::Idle => IDLE_LIMIT,
        }
    }
}

impl Place {
    pub(super) fn new(peer: IpAddr, local: IpAddr, freed: Arc<Notify>) -> Self {
        let now = Instant::now();
        let activity = Activity { doing: Doing::Asking, since: now, taken: now, held: Vec::new() };
        Place { peer, local, activity: Mutex::new(activity), leave: Notify::new(), freed }
    }

    /// A request's head is there; it is being answered until the guard is dropped, and then until that is sent.
    pub(super) fn answer(self: &Arc<Self>) -> Answering {
        let mut activity = self.activity();
        activity.turn_to(Doing::Answering);
        activity.taken = activity.since;
        Answering(Arc::clone(self))
    }

    /// Something of an answer is sent.
    pub(super) fn taken(&self) {
        self.activity().taken = Instant::now();
    }

    /// All that was written is sent.
    pub(super) fn sent(&self) {
        let mut activity = self.activity();
        if activity.doing == Doing::Written {
            activity.turn_to(Doing::Idle);
            activity.held = Vec::new();
            self.freed.notify_waiters();
        }
    }

    /// Something has come from the client.
    pub(super) fn heard(&self) {
        let mut activity = self.activity();
        if activity.doing == Doing::Idle {
            activity.turn_to(Doing::Asking);
        }
    }

    /// Resolves when it has taken too long for what it does.
    async fn overdue(&self) {
        loop {
            let Activity { doing, since, .. } = *self.activity();
            let now = Instant::now();
            if now >= since + doing.limit() {
                return tracing::debug!(?doing, "HTTP connection took too long");
            }
            // What it does may change meanwhile; whatever it is then, it is not overdue before that.
            sleep_until((since + doing.limit()).min(now + ASK_WITHIN)).await;
        }
    }

    /// Resolves when the connection has to end at once.
    pub(super) async fn ended(&self, mut closing: watch::Receiver<bool>) {
        let closed = async {
            // The sender lives as long as the server; without it the connection ends, too.
            drop(closing.wait_for(|closing| *closing).await);
            if self.activity().doing != Doing::Asking {
                pending::<()>().await;
            }
        };
        tokio::select! {
            () = self.leave.notified() => tracing::debug!("HTTP connection made room for another"),
            () = self.overdue() => {}
            () = closed => {}
        }
    }

    fn activity(&self) -> MutexGuard<'_, Activity> {
        self.activity.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Activity {
    fn turn_to(&mut self, doing: Doing) {
        self.doing = doing;
        self.since = Instant::now();
    }
}

/// Held until an answer is written whole or given up.
#[derive(Debug)]
pub(super) struct Answering(Arc<Place>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.activity().doing = Doing::Written;
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    use super::{
        super::{
            http1::attend,
            requests::{MAX_SCRAPES, tests::server},
        },
        *,
    };

    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    const HEALTHY: &[u8] = b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n\r\n";
    const METRICS: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";

    /// Attends to a connection whose client does as `client` does, and returns how many seconds it lasted.
    async fn lasts<C: Future<Output = ()>>(client: impl FnOnce(DuplexStream) -> C) -> u64 {
        let (near, far) = tokio::io::duplex(256);
        let (_close, closing) = watch::channel(false);
        let start = Instant::now();
        let server = Arc::new(server());
        let connections = Arc::clone(&server.connections);
        let attended = attend(Arc::clone(&server), near, connections.enter(PEER, PEER), closing);
        tokio::select! {
            () = attended => {}
            () = client(far) => panic!("the client gave up first"),
        }
        assert!(connections.lock().places.is_empty());
        assert_eq!(server.scrapes.available_permits(), MAX_SCRAPES);
        start.elapsed().as_secs()
    }

    /// Asks, and takes the whole answer.
    async fn ask(client: &mut DuplexStream, request: &[u8]) {
        client.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        loop {
            client.read_buf(&mut answer).await.unwrap();
            let text = std::str::from_utf8(&answer).unwrap();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if length.unwrap().parse::<usize>().unwrap() == body.len() {
                return;
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_has_to_come_in_time() {
        let silent = async |_client| pending().await;
        assert_eq!(lasts(silent).await, ASK_WITHIN.as_secs());
        let trickling = async |mut client: DuplexStream| {
            loop {
                client.write_all(b"G").await.ok();
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        assert_eq!(lasts(trickling).await, ASK_WITHIN.as_secs());
        let second = async |mut client: DuplexStream| {
            ask(&mut client, HEALTHY).await;
            tokio::time::sleep(Duration::from_secs(100)).await;
            trickling(client).await;
        };
        assert_eq!(lasts(second).await, 100 + ASK_WITHIN.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_is_kept_for_a_while() {
        let idle = async |mut client: DuplexStream| {
            for request in [HEALTHY, METRICS, METRICS] {
                ask(&mut client, request).await;
                tokio::time::sleep(IDLE_LIMIT - Duration::from_secs(1)).await;
            }
            pending::<()>().await;
        };
        assert_eq!(lasts(idle).await, 2 * (IDLE_LIMIT.as_secs() - 1) + IDLE_LIMIT.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_has_to_be_taken_in_time() {
        let deaf = async |mut client: DuplexStream| {
            client.write_all(METRICS).await.unwrap();
            pending::<()>().await;
        };
        assert_eq!(lasts(deaf).await, STALL_LIMIT.as_secs());
        let slow = async |mut client: DuplexStream| {
            client.write_all(METRICS).await.unwrap();
            loop {
                tokio::time::sleep(STALL_LIMIT - Duration::from_secs(1)).await;
                client.read_u8().await.ok();
            }
        };
        assert_eq!(lasts(slow).await, ANSWER_WITHIN.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_idle_makes_room_and_then_the_longest_answered() {
        let connections = Arc::new(Connections::default());
        let mut seats = Vec::new();
        for _ in 0..MAX_CONNECTIONS {
            seats.push(connections.enter(PEER, PEER));
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        let left = |seat: &Seat| !connections.lock().places.contains_key(&seat.id);
        let [oldest, next, ..] = &seats[..] else { unreachable!() };
        let _answering = oldest.place.answer();
        let first = connections.enter(PEER, PEER);
        assert!(left(next) && !left(oldest));
        next.place.ended(watch::channel(false).1).await;

        tokio::time::advance(Duration::from_millis(1)).await;
        let _others: Vec<_> = seats.iter().skip(2).map(|seat| seat.place.answer()).collect();
        let second = connections.enter(PEER, PEER);
        assert!(left(&first) && !left(oldest));
        let _second = second.place.answer();
        let third = connections.enter(PEER, PEER);
        assert!(left(oldest) && !left(&second) && !left(&third));
        assert_eq!(connections.lock().places.len(), MAX_CONNECTIONS);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_nothing_of_an_old_page_makes_room_for_a_new_one() {
        const SECOND: Duration = Duration::from_secs(1);
        let connections = Arc::new(Connections::default());
        let page = |at| Held { at, size: MAX_SENDING / 4 };
        let send = async |page: &Held| {
            let seat = connections.enter(PEER, PEER);
            let answering = seat.place.answer();
            let start = Instant::now();
            connections.make_room(&seat.place, vec![*page]).await;
            drop(answering);
            (seat, start.elapsed())
        };
        let pages = [1, 2, 3, 4, 5, 6].map(page);
        let [old, slow, third, fourth, new, newest] = &pages;
        let mut seats = Vec::new();
        for page in [old, slow, third, fourth, new] {
            tokio::time::advance(SECOND).await;
            let (seat, waited) = send(page).await;
            assert_eq!(waited, Duration::ZERO);
            seats.push(seat);
        }
        // However many share them, they are in memory once.
        for _ in 0..50 {
            let (seat, waited) = send(old).await;
            assert_eq!(waited, Duration::ZERO);
            seat.place.sent();
        }
        seats[0].place.taken();
        let left = |seat: &Seat| !connections.lock().places.contains_key(&seat.id);
        let (_newest, waited) = send(newest).await;
        assert_eq!(waited, ROOM_WITHIN);
        assert_eq!([0, 1, 2, 3, 4].map(|index| left(&seats[index])), [false, true, false, false, false]);
        seats[1].place.ended(watch::channel(false).1).await;

        // A waiting answer goes on as soon as another one is sent.
        let done = async { seats[2].place.sent() };
        let ((_slow, waited), ()) = tokio::join!(send(slow), done);
        assert_eq!(waited, Duration::ZERO);
        assert!([0, 3, 4].iter().all(|index| !left(&seats[*index])));
    }
}
