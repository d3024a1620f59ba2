//! From a request body to a response body: who asks, for what, and what they get.

use crate::codes::{AUTHENTICATION, Failure, NOBODY};
use crate::methods::Run;
use crate::registry::{self, Coverage};
use crate::request::Request;
use crate::xmlrpc::{self, Answer, Body, Call, Fault, Limits, Outcome, Params, Reply, Response, Value};
use holm_desk::{Caller, Desk, ErrorKind, Intent, Secret};
use holm_model::ObjectKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What the door is made of.
pub struct Parts {
    /// The desk.
    pub desk: Desk,
    /// The version that clients are told; they compare it as a semantic version and expect a 7.
    pub version: String,
    /// Bytes of rendered documents that are kept for the next time they are asked for.
    pub cache_bytes: usize,
}

/// The door. Cloning it gives another handle to the same one.
#[derive(Clone)]
pub struct Door(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) desk: Desk,
    pub(crate) version: String,
    pub(crate) caches: crate::cache::Caches,
    limits: Limits,
    requests: AtomicU64,
}

impl Door {
    /// Opens the door.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(Inner {
            desk: parts.desk,
            version: parts.version,
            caches: crate::cache::Caches::new(parts.cache_bytes),
            limits: Limits::default(),
            requests: AtomicU64::new(0),
        }))
    }

    /// The largest request body that is looked at, bytes.
    #[must_use]
    pub fn largest_body(&self) -> usize {
        self.0.limits.bytes
    }

    /// Answers one request; `peer` is where it came from, for limits on logins and the audit log.
    pub async fn answer(&self, peer: &str, body: &[u8]) -> Body {
        let reply = match xmlrpc::decode(body, &self.0.limits) {
            Err(fault) => Reply::One(fault.into()),
            Ok(call) if call.method == "system.multicall" => match xmlrpc::multicall(call.params, &self.0.limits) {
                Err(fault) => Reply::One(fault.into()),
                Ok(calls) => {
                    let mut outcomes = Vec::with_capacity(calls.len());
                    for call in calls {
                        outcomes.push(match call {
                            Ok(call) => self.0.call(peer, call).await,
                            Err(fault) => fault.into(),
                        });
                    }
                    Reply::Many(outcomes)
                }
            },
            Ok(call) => Reply::One(self.0.call(peer, call).await),
        };
        reply.encode()
    }
}

impl Inner {
    async fn call(&self, peer: &str, call: Call) -> Outcome {
        if call.method.starts_with("system.") {
            return introspect(&call);
        }
        let Some(known) = registry::known(&call.method) else {
            return Fault::no_such_method(&call.method).into();
        };
        let Some(method) = registry::runner(known.name) else {
            let why = known.refused.unwrap_or("it is not answered by this version");
            return Fault::new(
                Fault::NO_SUCH_METHOD,
                format!("Method {} is known but not answered: {why}.", known.name),
            )
            .into();
        };
        let intent = Intent {
            request_id: format!("one-{}", self.requests.fetch_add(1, Ordering::Relaxed)),
            peer: peer.to_owned(),
            ..Intent::default()
        };
        let outcome = match self.caller(&call.params, peer).await {
            Err(failure) => Err(failure),
            Ok(caller) => {
                let request = Request { door: self, caller, method: method.name, params: call.params, intent };
                let outcome = match method.run {
                    Run::Read(run) => run(&request),
                    Run::Change(run) => run(&request).await,
                };
                match &outcome {
                    Ok(_) => tracing::debug!(method = request.method, user = request.user(), "answered"),
                    Err(failure) => {
                        tracing::debug!(method = request.method, user = request.user(), ?failure, "refused")
                    }
                }
                outcome
            }
        };
        let response = match outcome {
            Ok(answer) => Ok(Response::Success(answer)),
            Err(failure) => failure.response(method.name),
        };
        match response {
            Ok(response) => response.into(),
            Err(fault) => fault.into(),
        }
    }

    /// Who asks: the session string is `USER:SECRET`, or `SERVICE:USER:[GROUP:]SECRET` of a service account.
    async fn caller(&self, params: &Params, peer: &str) -> Result<Caller, Failure> {
        let nobody = || Failure::new(AUTHENTICATION, NOBODY);
        let session = params.text(0)?;
        let (name, secret) = session.split_once(':').ok_or_else(nobody)?;
        let caller = if self.desk.service_key(name).is_some() {
            self.service(name, secret)
        } else {
            self.desk.password_login(name, Secret(secret.to_owned()), peer).await
        };
        caller.map_err(|error| match error.kind {
            ErrorKind::Unauthenticated | ErrorKind::NotFound | ErrorKind::Forbidden => nobody(),
            _ => Failure::of(&error, ObjectKind::User, -1, 0),
        })
    }

    /// A service account acts as another user: what it sends is encrypted with a key made from its password.
    fn service(&self, service: &str, rest: &str) -> Result<Caller, holm_desk::Error> {
        let stranger = || holm_desk::Error::new(ErrorKind::Unauthenticated, "the session is not a service's");
        let (target, secret) = rest.split_once(':').ok_or_else(stranger)?;
        let (group, secret) = match secret.split_once(':') {
            Some((group, secret)) => (Some(group.parse().map_err(|_| stranger())?), secret),
            None => (None, secret),
        };
        let key = self.desk.service_key(service).ok_or_else(stranger)?;
        let text = crate::cipher::decrypt(&key, secret).ok_or_else(stranger)?;
        let mut parts = text.splitn(3, ':');
        let fits = parts.next() == Some(service) && parts.next() == Some(target);
        let expires: Option<i64> = parts.next().and_then(|t| t.trim().parse().ok());
        if !fits || expires.is_none_or(|at| at < self.desk.now().seconds()) {
            return Err(stranger());
        }
        self.desk.service_login(service, target, group.map(holm_model::GroupId))
    }
}

/// The methods of the protocol itself: they tell names that are published anyway.
fn introspect(call: &Call) -> Outcome {
    let named = |params: &Params| params.text(0).map(str::to_owned);
    match call.method.as_str() {
        "system.listMethods" => {
            let own = [
                "system.capabilities",
                "system.listMethods",
                "system.methodHelp",
                "system.methodSignature",
                "system.multicall",
            ];
            let answered =
                registry::sheet().filter(|(_, _, coverage)| *coverage == Coverage::Done).map(|(name, ..)| name);
            Value::Array(answered.chain(own).map(|name| Value::Text(name.into())).collect()).into()
        }
        "system.methodHelp" => match named(&call.params) {
            Err(fault) => fault.into(),
            Ok(name) => match registry::known(&name) {
                None => Fault::no_such_method(&name).into(),
                Some(known) => Value::Text(match registry::runner(known.name) {
                    Some(_) => "See the documentation of OpenNebula's XML-RPC interface.".into(),
                    None => known.refused.unwrap_or("Not answered by this version.").to_owned(),
                })
                .into(),
            },
        },
        "system.methodSignature" => match named(&call.params) {
            Err(fault) => fault.into(),
            Ok(name) if registry::known(&name).is_none() => Fault::no_such_method(&name).into(),
            Ok(_) => Value::Text("undef".into()).into(),
        },
        "system.capabilities" => Value::Struct(vec![
            ("facility".into(), Value::Text("Holm".into())),
            ("version_major".into(), Value::Int(1)),
            ("version_minor".into(), Value::Int(0)),
            ("version_point".into(), Value::Int(0)),
            ("protocol_version".into(), Value::Int(2)),
        ])
        .into(),
        other => Fault::no_such_method(other).into(),
    }
}

/// An answer that is the id of an object.
impl From<u32> for Answer {
    fn from(id: u32) -> Self {
        Self::Int(id.into())
    }
}
