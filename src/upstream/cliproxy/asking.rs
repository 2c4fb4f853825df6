//! The small requests, and what their answers show of the server.

use std::time::Duration;

use reqwest::{
    RequestBuilder,
    header::{ACCEPT, HeaderMap},
};
use serde::Deserialize;

use super::{
    Cliproxy,
    config::UsageSetting,
    credentials::{self, Files, Listed},
    limits::Cooling,
    routes::{self, Base, DEBUG, NotFound, Route, Routes, USAGE, other_system},
};
use crate::{
    http::{self, Limits, Refusal, Repeat, Reply},
    model::{Moment, Reason, Timestamp},
    upstream::{
        Cause, FetchError,
        json::{self, Object, OddFields, ROWS},
    },
};

/// The most pages of credentials that are requested, and rows of one.
const PAGES: usize = 20;
const PAGE: usize = 500;
/// Limit of one batch of records. They take up to 4 KB each, and those of a larger answer are lost.
const QUEUE_BODY: usize = 64 * 1024 * 1024;
/// How long one batch may take, whatever limit other requests have: records of an answer that is given up are lost.
const QUEUE_TIME: Duration = Duration::from_secs(20);
/// How often the server is asked how long it keeps records.
const RETENTION_EVERY: Duration = Duration::from_secs(3600);
/// The longest answer that is read whole, in bytes.
const SHORT: usize = 64 * 1024;

const NO_API: &str = "no management API here (answered 404): set remote-management.secret-key on the server, which may have \
                      started without one, and check that the URL is that of the server itself";
const DISABLED: &str = "the management API is switched off (answered 404 with nothing): set remote-management.secret-key on the \
                        server, which also a server in Home mode does not have";

/// What the flag's route answers.
enum Flag {
    Is(bool),
    NotFound(NotFound),
    /// Something that is no flag.
    Other,
}

impl Cliproxy {
    pub(super) fn base(&self) -> Base {
        self.routes.base.unwrap_or(Base::V0)
    }

    /// A request with the key.
    pub(super) fn request(
        &self,
        asked: &'static str,
        query: &str,
        now: Moment,
    ) -> Result<RequestBuilder, FetchError> {
        self.authorized(asked, self.http.get(self.config.endpoint.url.join(asked) + query), now)
    }

    fn authorized(
        &self,
        asked: &'static str,
        request: RequestBuilder,
        now: Moment,
    ) -> Result<RequestBuilder, FetchError> {
        self.session.authorize(asked, request.header(ACCEPT, "application/json"), now)
    }

    pub(super) fn begins(&mut self, limits: Limits) {
        self.notes.requests += 1;
        self.beat.within(limits.deadline);
    }

    /// Reads a short answer with any status but a refusal of the key.
    async fn short(&mut self, asked: &'static str, query: &str, now: Moment) -> Result<Reply, FetchError> {
        let request = self.request(asked, query, now)?;
        let limits = Limits { body: SHORT, ..self.small };
        self.begins(limits);
        let reply = self.http.send(request, limits).await.map_err(|error| FetchError::new(asked, error))?;
        let error = match reply.status {
            // Not every 404 comes after a look at the key.
            404 => return Ok(reply),
            200 | 400 => return Ok(reply),
            status @ 300..=399 => http::Error::Redirect(status),
            status => http::Error::Status(status),
        };
        Err(self.session.judge(asked, reply.refused(error), now))
    }

    /// Reads a JSON answer; absent: the server has no such route.
    async fn value(
        &mut self,
        asked: &'static str,
        query: &str,
        now: Moment,
    ) -> Result<Option<(String, Timestamp)>, FetchError> {
        let request = self.request(asked, query, now)?;
        let limits = self.small;
        self.begins(limits);
        match self.http.read(request, Repeat::Safe, limits, json::document).await {
            Ok(answer) => Ok(Some((answer.value, answer.date.unwrap_or(now.wall)))),
            Err(Refusal { error: http::Error::Status(404), .. }) => Ok(None),
            Err(refusal) => Err(self.session.judge(asked, refusal, now)),
        }
    }

    /// Reads whether statistics are recorded, and with it the version. Finds out below which path the API is.
    pub(super) async fn read_flag(&mut self, now: Moment) -> Result<(), FetchError> {
        if let Some(base) = self.routes.base {
            let flag = match self.routes.flagless {
                true => self.debug(now).await?,
                false => self.flag(base, now).await?,
            };
            match flag {
                Flag::Is(enabled) if self.routes.base.is_some() => return self.meets(base, enabled),
                Flag::NotFound(NotFound::Unset) => return self.meets(base, false),
                // Another version may have another base.
                Flag::Is(_)
                | Flag::NotFound(NotFound::Text | NotFound::Version | NotFound::Disabled)
                | Flag::Other => {}
            }
        }
        // Another server may be there now.
        self.routes = Routes::default();
        match self.flag(Base::V8, now).await? {
            Flag::Is(enabled) => return self.meets(Base::V8, enabled),
            Flag::NotFound(NotFound::Unset) => return self.meets(Base::V8, false),
            Flag::NotFound(NotFound::Text | NotFound::Version | NotFound::Disabled) | Flag::Other => {}
        }
        match self.flag(Base::V0, now).await? {
            Flag::Is(enabled) => self.meets(Base::V0, enabled),
            Flag::NotFound(NotFound::Disabled) => {
                self.queue_was_cleared(now);
                Err(FetchError::new(Base::V0.flag(), Cause::Hint(Reason::NotFound, DISABLED)))
            }
            Flag::NotFound(NotFound::Text) => match self.debug(now).await? {
                Flag::Is(enabled) => {
                    self.routes.flagless = true;
                    self.meets(Base::V0, enabled)
                }
                Flag::NotFound(_) | Flag::Other => {
                    Err(FetchError::new(Base::V0.flag(), Cause::Hint(Reason::NotFound, NO_API)))
                }
            },
            Flag::NotFound(NotFound::Version | NotFound::Unset) => {
                Err(FetchError::new(Base::V0.flag(), Cause::NotFound(404)))
            }
            Flag::Other => Err(other_system(Base::V0.flag())),
        }
    }

    /// What stands for the flag of a server of 6.0.0 to 6.0.4, which records always.
    async fn debug(&mut self, now: Moment) -> Result<Flag, FetchError> {
        let reply = self.short(DEBUG, "", now).await?;
        if reply.status != 200 || serde_json::from_slice::<Debug>(&reply.body).is_err() {
            return Ok(Flag::Other);
        }
        self.answered(&reply.headers);
        Ok(Flag::Is(true))
    }

    async fn flag(&mut self, base: Base, now: Moment) -> Result<Flag, FetchError> {
        let reply = self.short(base.flag(), "", now).await?;
        if reply.status != 200 {
            let kind = routes::not_found(&reply.headers, &reply.body);
            return Ok(if reply.status == 404 { Flag::NotFound(kind) } else { Flag::Other });
        }
        let enabled = match base {
            Base::V8 => serde_json::from_slice(&reply.body).ok(),
            Base::V0 => serde_json::from_slice::<Enabled>(&reply.body).ok().map(|flag| flag.enabled),
        };
        let Some(enabled) = enabled else { return Ok(Flag::Other) };
        self.answered(&reply.headers);
        Ok(Flag::Is(enabled))
    }

    /// The server has answered what only it does, and so has accepted the key. Learns the version.
    fn answered(&mut self, headers: &HeaderMap) {
        self.session.was_accepted();
        let version = routes::version(headers);
        self.signs.version = version.is_some();
        if self.routes.base.is_some() && version != self.version {
            // It may have other routes.
            self.routes = Routes::default();
            self.retention_read = None;
        }
        self.version = version;
    }

    fn meets(&mut self, base: Base, enabled: bool) -> Result<(), FetchError> {
        self.routes.base = Some(base);
        if self.enabled.replace(enabled) != Some(enabled) {
            self.watch.begins_again();
        }
        Ok(())
    }

    /// Finds out whether there are totals, if they are not going to be read: that tells the generation.
    pub(super) async fn find_totals(&mut self, now: Moment) -> Result<(), FetchError> {
        let reads_them = matches!(self.config.usage, UsageSetting::Auto | UsageSetting::Snapshot);
        if reads_them || self.routes.usage != Route::Unknown || self.routes.base == Some(Base::V8) {
            return Ok(());
        }
        // Only the start of them is read.
        self.routes.usage = match self.short(USAGE, "", now).await {
            Ok(reply) if reply.status == 404 => self.absent(&reply.headers, &reply.body, now),
            // It takes its time to write them.
            Err(err) if !err.is_too_slow() => return Err(err),
            Ok(_) | Err(_) => Route::Present,
        };
        Ok(())
    }

    /// What a 404 makes of a route.
    pub(super) fn absent(&mut self, headers: &HeaderMap, body: &[u8], now: Moment) -> Route {
        self.routes.absence = Some(routes::not_found(headers, body));
        Route::Absent(now)
    }

    /// Finds out whether there is a queue, by a request for no record, which takes none.
    pub(super) async fn find_queue(&mut self, now: Moment) -> Result<(), FetchError> {
        if self.routes.queue != Route::Unknown {
            return Ok(());
        }
        let reply = self.short(self.base().queue(), "?count=0", now).await?;
        self.routes.queue = match reply.status {
            404 => self.absent(&reply.headers, &reply.body, now),
            _ => Route::Present,
        };
        Ok(())
    }

    /// Reads how long the queue keeps records, and how long the server waits after failures. Of an answer that has the whole
    /// configuration, nothing else is looked at.
    pub(super) async fn read_retention(&mut self, now: Moment) -> Result<(), FetchError> {
        let is_due = self.retention_read.is_none_or(|read| now.since(read) >= RETENTION_EVERY);
        if self.config.usage != UsageSetting::Queue || self.routes.queue != Route::Present || !is_due {
            return Ok(());
        }
        let base = self.base();
        let asked = base.retention();
        let request = self.request(asked, "", now)?;
        let limits = self.small;
        self.begins(limits);
        let (retention, cooling) = match self.http.read(request, Repeat::Safe, limits, json::document).await {
            Ok(answer) => match base {
                Base::V8 => (serde_json::from_str(&answer.value).ok(), None),
                Base::V0 => settings(&answer.value, &self.odd),
            },
            Err(Refusal { error: http::Error::Status(404) | http::Error::Decode(_), .. }) => (None, None),
            Err(refusal) => return Err(self.session.judge(asked, refusal, now)),
        };
        self.queue.keeps(retention);
        self.limits.cools(cooling);
        self.retention_read = Some(now);
        Ok(())
    }

    /// Reads the list of files, and page by page if the server does not give it whole.
    pub(super) async fn read_files(&mut self, now: Moment) -> Result<Files, FetchError> {
        let asked = self.base().credentials();
        let mut files = self.page_of_files(asked, "", now).await?;
        if !files.has_more {
            return Ok(files);
        }
        files = Files::default();
        for page in 1..=PAGES {
            let query = format!("?page={page}&page_size={PAGE}");
            let Files { listed, omitted, has_more, has_cooldowns, has_counts } =
                self.page_of_files(asked, &query, now).await?;
            let room = ROWS - files.listed.len();
            files.omitted += omitted + listed.len().saturating_sub(room);
            files.listed.extend(listed.into_iter().take(room));
            files.has_cooldowns |= has_cooldowns;
            files.has_counts |= has_counts;
            if !has_more {
                return Ok(files);
            }
            if files.listed.len() == ROWS {
                break;
            }
        }
        // As if one more were left out: it is unknown how many are.
        files.omitted += 1;
        Ok(files)
    }

    async fn page_of_files(
        &mut self,
        asked: &'static str,
        query: &str,
        now: Moment,
    ) -> Result<Files, FetchError> {
        let Some((raw, date)) = self.value(asked, query, now).await? else {
            self.routes = Routes::default();
            return Err(FetchError::new(asked, Cause::NotFound(404)));
        };
        let files = credentials::files(&raw, &self.names, date, &self.odd);
        let files = files.ok_or_else(|| other_system(asked))?;
        // A server of 8.0 may have no flag that says so.
        self.session.was_accepted();
        Ok(files)
    }

    /// Reads the counters of keys, which servers before 6.9.47 do not have.
    pub(super) async fn read_keys(&mut self, now: Moment) -> Result<(Vec<Listed>, usize), FetchError> {
        if self.routes.key_usage.is_absent() {
            return Ok((Vec::new(), 0));
        }
        let asked = self.base().key_usage();
        let Some((raw, _)) = self.value(asked, "", now).await? else {
            self.routes.key_usage = Route::Absent(now);
            return Ok((Vec::new(), 0));
        };
        let keys = credentials::keys(&raw, &self.names, &self.odd).ok_or_else(|| other_system(asked))?;
        self.routes.key_usage = Route::Present;
        Ok(keys)
    }

    /// Takes records from the queue, on a connection of its own, so that nothing sends the request again.
    pub(super) async fn request_records(&mut self, request: RequestBuilder) -> Result<String, Refusal> {
        let limits = Limits { deadline: QUEUE_TIME, body: QUEUE_BODY };
        self.begins(limits);
        Ok(self.http.read(request, Repeat::Never, limits, json::document).await?.value)
    }

    /// The request for the next batch of records.
    pub(super) fn batch_request(
        &self,
        asked: &'static str,
        now: Moment,
    ) -> Result<RequestBuilder, FetchError> {
        let url = format!("{}?count={}", self.config.endpoint.url.join(asked), self.batch);
        self.authorized(asked, self.http.get_alone(url), now)
    }
}

#[derive(Deserialize)]
struct Enabled {
    #[serde(rename = "usage-statistics-enabled")]
    enabled: bool,
}

#[derive(Deserialize)]
struct Debug {
    #[serde(rename = "debug")]
    _debug: bool,
}

/// What matters here of the configuration: how long the queue keeps records, and how the server cools down.
fn settings(raw: &str, odd: &OddFields) -> (Option<i64>, Option<Cooling>) {
    let Some(settings) = Object::new("config", raw, odd) else { return (None, None) };
    let after_errors = match settings.integer("transient-error-cooldown-seconds") {
        None | Some(0) => Some(Duration::from_secs(60)),
        // Negative: never.
        Some(seconds) => u64::try_from(seconds).ok().map(Duration::from_secs),
    };
    let never_cools = settings.flag("disable-cooling").unwrap_or(false);
    let cooling = (!never_cools).then_some(Cooling { after_errors });
    (settings.integer("redis-usage-queue-retention-seconds"), cooling)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_says_how_the_server_keeps_records_and_cools_down() {
        let after = |secs| Some(Cooling { after_errors: Some(Duration::from_secs(secs)) });
        for (config, expected) in [
            ("{}", (None, after(60))),
            (r#"{"redis-usage-queue-retention-seconds": 10, "disable-cooling": true}"#, (Some(10), None)),
            (r#"{"transient-error-cooldown-seconds": 0, "disable-cooling": false}"#, (None, after(60))),
            (r#"{"transient-error-cooldown-seconds": 9}"#, (None, after(9))),
            (r#"{"transient-error-cooldown-seconds": -1}"#, (None, Some(Cooling { after_errors: None }))),
            // A field that is something else costs only itself.
            (
                r#"{"redis-usage-queue-retention-seconds": 10, "disable-cooling": null}"#,
                (Some(10), after(60)),
            ),
            (r#"{"redis-usage-queue-retention-seconds": 10, "disable-cooling": []}"#, (Some(10), after(60))),
            (r#"{"redis-usage-queue-retention-seconds": {}, "disable-cooling": true}"#, (None, None)),
            (r#"{"transient-error-cooldown-seconds": "", "disable-cooling": false}"#, (None, after(60))),
            ("[]", (None, None)),
        ] {
            assert_eq!(settings(config, &OddFields::default()), expected, "{config}");
        }
    }
}
