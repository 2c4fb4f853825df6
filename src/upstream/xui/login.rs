//! The login with a name and a password.

use std::time::Duration;

use super::{
    Xui,
    asking::status_of,
    config::{Login, Password},
    routes,
};
use crate::{
    http::{self, Limits, Reply},
    model::{Moment, Reason, Timestamp},
    upstream::{
        Again, Cause, FetchError,
        json::{self, Object},
    },
};

const ASKED: &str = "/login";
/// What to check when a login is refused. A locked account is refused with the same words.
const CHECK: &str =
    "the username and password; five wrong ones within five minutes lock the account for 15 minutes";
const CHECK_TOTP: &str =
    "the username, the password and totp_secret, and the panel's clock; five wrong ones lock the account";
const ADD_SECRET: &str = "login_secret, which is missing: the panel demands a secret beside the password";
const ADD_TOTP: &str =
    "totp_secret, which is missing: the panel demands the digits of two-factor authentication";
/// How often to find out whether the panel still demands what the configuration lacks.
const LACKS_AGAIN: Duration = Duration::from_secs(15 * 60);
/// Digits are not sent in the last seconds of their step, because the panel accepts them in that step alone.
const STEP: i64 = 30;
const LAST_SECONDS: i64 = 4;

impl Xui {
    /// Opens a session, unless there is one or a token needs none.
    pub(super) async fn log_in(&mut self, now: Moment) -> Result<(), FetchError> {
        let Login::Password(password) = &self.config.login else { return Ok(()) };
        if self.session.is_open() {
            return Ok(());
        }
        if let Some((err, left)) = self.session.waits(now) {
            return Err(FetchError { again: Again::WhenChanged { at_latest: left }, ..err.clone() });
        }
        let password = password.clone();
        // The password does not go where no panel answers. Login pages have nothing in common that shows whose they are.
        self.signs.tokens = self.find_csrf(now).await?;
        if !self.signs.tokens {
            self.session.set_csrf(None);
            self.base_page(now).await?;
        }
        let limits = self.small;
        if password.totp.is_some() {
            self.wait_for_next_digits(now).await;
        } else if self.demands("/getTwoFactorEnable", limits, now).await {
            // A panel writes the password of a refused login to its log and its chat (3x-ui up to 2.9).
            return Err(self.login_lacks(ADD_TOTP, now));
        }
        if password.login_secret.is_none()
            && !self.signs.tokens
            && self.demands("/getSecretStatus", limits, now).await
        {
            return Err(self.login_lacks(ADD_SECRET, now));
        }
        let form = form(&password, self.clock.panel_now(now));
        let request = self.session.authorize(self.login_request(ASKED), false).form(&form);
        self.begins(limits, now);
        self.notes.logins += 1;
        let cause = match self.http.send(request, limits).await {
            Ok(reply) => match self.judge(&reply) {
                None => {
                    self.session.opens(now);
                    self.signs.alireza0 = self.session.is_of_alireza0();
                    return Ok(());
                }
                Some(cause) => cause,
            },
            // The password was not sent.
            Err(
                error @ (http::Error::Connect(_)
                | http::Error::Proxy(_)
                | http::Error::ProxyLogin
                | http::Error::Tls(_)),
            ) => {
                return Err(FetchError::new(ASKED, error));
            }
            Err(error) => Cause::from(error).of_login(),
        };
        Err(self.login_failed(cause, now))
    }

    /// No login was sent, for want of something in the configuration.
    fn login_lacks(&mut self, what: &'static str, now: Moment) -> FetchError {
        let cause = Cause::login(200, what);
        let err = FetchError { asked: ASKED, cause, again: Again::WhenChanged { at_latest: LACKS_AGAIN } };
        self.session.waits_for(err.clone(), LACKS_AGAIN, now);
        err
    }

    fn login_failed(&mut self, cause: Cause, now: Moment) -> FetchError {
        let wait = self.session.next_wait();
        let err = FetchError { asked: ASKED, cause, again: Again::WhenChanged { at_latest: wait } };
        self.session.failed(err.clone(), wait, now);
        err
    }

    /// Why the panel did not accept the login; absent: it did, and its cookies are kept.
    fn judge(&mut self, reply: &Reply) -> Option<Cause> {
        let check = match &self.config.login {
            Login::Password(Password { totp: Some(_), .. }) => CHECK_TOTP,
            _ => CHECK,
        };
        let failed = |error: http::Error| Some(Cause::from(error).of_login());
        match status_of(reply) {
            200 => {
                let raw = json::from_bytes(&*reply.body).ok();
                let success = raw.and_then(|raw| Object::new("login", &raw, &self.odd)?.flag("success"));
                match success {
                    Some(true) => {
                        self.session.take_cookies(&reply.headers);
                        let words = "the panel accepted the login, but gave no cookie";
                        (!self.session.has_cookies()).then(|| Cause::Hint(Reason::Decode, words).of_login())
                    }
                    Some(false) => Some(Cause::login(200, check)),
                    None => failed(http::Error::NotJson("something else")),
                }
            }
            status @ (404 | 405) => Some(Cause::NotFound(status).of_login()),
            status @ 300..=399 => failed(http::Error::Redirect(status)),
            status @ 401 => Some(Cause::login(status, check)),
            status => failed(http::Error::Status(status)),
        }
    }

    /// Whether the panel demands more than a password: digits (3x-ui, since 2.6) or a secret (1.2.7 to 2.5). A failure to
    /// find out is none of the login.
    async fn demands(&mut self, path: &'static str, limits: Limits, now: Moment) -> bool {
        self.begins(limits, now);
        let request = self.bare_request(routes::post(path));
        let reply = self.http.send(self.session.authorize(request, false), limits).await;
        let body = reply.ok().filter(|reply| reply.status == 200).map(|reply| reply.body);
        let raw = body.and_then(|body| json::from_bytes(body).ok());
        raw.and_then(|raw| Object::new("demand", &raw, &self.odd)?.flag("obj")).unwrap_or(false)
    }

    async fn wait_for_next_digits(&mut self, now: Moment) {
        let second = self.clock.panel_now(now).as_secs().rem_euclid(STEP);
        if let Ok(left) = u64::try_from(STEP - second)
            && second >= STEP - LAST_SECONDS
        {
            self.beat.within(Duration::from_secs(left + 1) + self.small.deadline);
            tokio::time::sleep(Duration::from_secs(left)).await;
        }
    }
}

/// The fields of a login; those that a panel does not know are ignored there.
fn form(login: &Password, panel_now: Timestamp) -> Vec<(&'static str, String)> {
    let mut form =
        vec![("username", login.username.clone()), ("password", login.password.expose().to_owned())];
    form.extend(login.totp.as_ref().map(|totp| ("twoFactorCode", totp.digits(panel_now))));
    form.extend(login.login_secret.as_ref().map(|secret| ("loginSecret", secret.expose().to_owned())));
    form
}
