//! What handlers take out of requests. Everything here refuses with a problem, nothing with axum's plain text.

use super::door::{Asker, Trace};
use crate::authority::sha256_hex;
use crate::problem::{Answer, Kind, Refusal};
use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use holm_desk::{Caller, Intent, ListQuery};
use holm_wire::v1::IDEMPOTENCY_KEY;
use http::header::{CONTENT_TYPE, ETAG, HeaderName, IF_MATCH, LOCATION};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::time::Duration;

/// Largest JSON body, bytes.
pub const MAX_JSON: usize = 1 << 20;
/// How long a JSON body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

impl<S: Sync> FromRequestParts<S> for Asker {
    type Rejection = Refusal;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| Refusal::new(Kind::Unauthenticated, "nobody is asking"))
    }
}

/// The `{name}` of a path: an id or a name.
#[derive(Clone, Debug)]
pub struct Key(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Key {
    type Rejection = Refusal;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let path = parts.uri.path().to_owned();
        let Path(key) =
            Path::<String>::from_request_parts(parts, state).await.map_err(|error| unreadable(&path, &error))?;
        Ok(Self(key))
    }
}

/// Several parts of a path, such as the name of a VM and the number of one of its disks.
#[derive(Clone, Debug)]
pub struct Along<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Along<T> {
    type Rejection = Refusal;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let path = parts.uri.path().to_owned();
        let Path(found) = Path::<T>::from_request_parts(parts, state).await.map_err(|error| {
            unreadable(&path, &error).hint("Parts of objects are named by their numbers: whole numbers from 0.")
        })?;
        Ok(Self(found))
    }
}

/// The two `{name}`s of a path that names a part or a member of something.
#[derive(Clone, Debug)]
pub struct Keys(pub String, pub String);

impl<S: Send + Sync> FromRequestParts<S> for Keys {
    type Rejection = Refusal;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let path = parts.uri.path().to_owned();
        let Path((one, other)) = Path::<(String, String)>::from_request_parts(parts, state)
            .await
            .map_err(|error| unreadable(&path, &error))?;
        Ok(Self(one, other))
    }
}

/// The name of something, and the number of a part of it.
#[derive(Clone, Debug)]
pub struct Part(pub String, pub u32);

impl<S: Send + Sync> FromRequestParts<S> for Part {
    type Rejection = Refusal;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let Keys(whole, part) = Keys::from_request_parts(parts, state).await?;
        Ok(Self(whole, number(&part)?))
    }
}

fn unreadable(path: &str, error: &dyn std::fmt::Display) -> Refusal {
    let shown: String = path.chars().take(128).collect();
    Refusal::new(Kind::Invalid, format!("the path {shown} cannot be read: {error}"))
}

/// The parameters of a question that is no list: each known name at most once.
pub(crate) fn parameters<'a>(query: Option<&str>, known: &[&'a str]) -> Answer<BTreeMap<&'a str, String>> {
    let mut found = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(query.unwrap_or("").as_bytes()) {
        let Some(name) = known.iter().find(|known| **known == name) else {
            return Err(unknown_parameter(&name, &known.join(", ")));
        };
        if found.insert(*name, value.into_owned()).is_some() {
            return Err(Refusal::invalid(*name, format!("the parameter {name} is given twice")));
        }
    }
    Ok(found)
}

fn number(key: &str) -> Answer<u32> {
    key.parse().map_err(|_| {
        let shown: String = key.chars().take(64).collect();
        Refusal::invalid("id", format!("{shown:?} is not an id")).hint("Ids are whole numbers from 0.")
    })
}

/// The `{id}` of a path where only a number will do.
#[derive(Clone, Copy, Debug)]
pub struct Id(pub u32);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Refusal;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let Key(key) = Key::from_request_parts(parts, state).await?;
        number(&key).map(Self)
    }
}

/// The parameters of a list: `limit`, `cursor`, `sort` and any number of `filter=FIELD:VALUE`.
#[derive(Clone, Debug)]
pub struct List(pub ListQuery);

impl<S: Sync> FromRequestParts<S> for List {
    type Rejection = Refusal;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        read_list(parts.uri.query()).map(Self)
    }
}

fn read_list(query: Option<&str>) -> Answer<ListQuery> {
    let mut list = ListQuery::default();
    for (key, value) in form_urlencoded::parse(query.unwrap_or("").as_bytes()) {
        let twice = |already: bool| {
            if already {
                Err(Refusal::invalid(key.as_ref(), format!("the parameter {key} is given twice")))
            } else {
                Ok(())
            }
        };
        match key.as_ref() {
            "limit" => {
                twice(list.limit.is_some())?;
                let limit = value.parse().ok().filter(|limit| (1..=1000).contains(limit)).ok_or_else(|| {
                    let shown: String = value.chars().take(64).collect();
                    Refusal::invalid("limit", format!("limit: {shown:?} is not a number from 1 to 1000"))
                })?;
                list.limit = Some(limit);
            }
            "cursor" => {
                twice(list.cursor.is_some())?;
                list.cursor = Some(value.into_owned());
            }
            "sort" => {
                twice(list.sort.is_some())?;
                list.sort = Some(value.into_owned());
            }
            "filter" => {
                let (field, wanted) = value.split_once(':').ok_or_else(|| {
                    let shown: String = value.chars().take(64).collect();
                    Refusal::invalid("filter", format!("filter: {shown:?} has no colon"))
                        .hint("Write FIELD:VALUE, such as state:running or name:web*.")
                })?;
                list.filter.push((field.to_owned(), wanted.to_owned()));
            }
            other => return Err(unknown_parameter(other, "limit, cursor, sort and filter")),
        }
    }
    Ok(list)
}

/// The parameter of a deletion that has no other, true or false.
pub(crate) fn flag(query: Option<&str>, known: &str) -> Answer<bool> {
    let mut flag = false;
    for (name, value) in form_urlencoded::parse(query.unwrap_or("").as_bytes()) {
        flag = match value.as_ref() {
            _ if name != known => return Err(unknown_parameter(&name, known)),
            "true" => true,
            "false" => false,
            _ => return Err(Refusal::invalid(known, format!("{known} is neither true nor false"))),
        };
    }
    Ok(flag)
}

pub(crate) fn unknown_parameter(name: &str, known: &str) -> Refusal {
    let shown: String = name.chars().take(64).collect();
    Refusal::invalid(shown.clone(), format!("there is no parameter {shown:?} here")).hint(format!("There is {known}."))
}

/// A request that changes something and has no body.
#[derive(Clone, Debug)]
pub struct Order {
    /// Who asks.
    pub caller: Caller,
    /// How.
    pub intent: Intent,
}

/// A request that changes something and may have a JSON body; without one, everything in it is at its default.
#[derive(Clone, Debug)]
pub struct Wish<T> {
    /// Who asks.
    pub caller: Caller,
    /// How.
    pub intent: Intent,
    /// What.
    pub body: T,
}

/// A request that changes something and has a JSON body.
#[derive(Clone, Debug)]
pub struct Command<T> {
    /// Who asks.
    pub caller: Caller,
    /// How.
    pub intent: Intent,
    /// What.
    pub body: T,
}

impl<S: Send + Sync> FromRequest<S> for Order {
    type Rejection = Refusal;
    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let (mut parts, body) = request.into_parts();
        let caller = Asker::from_request_parts(&mut parts, state).await?.caller;
        let bytes = collect(&parts.headers, body).await?;
        let text = bytes.trim_ascii();
        if !text.is_empty() && text != b"{}" {
            return Err(Refusal::new(Kind::Invalid, "this request takes no body").hint("Send it without one."));
        }
        let intent = intent(&parts, &[])?;
        Ok(Self { caller, intent })
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Command<T> {
    type Rejection = Refusal;
    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let (mut parts, body) = request.into_parts();
        let caller = Asker::from_request_parts(&mut parts, state).await?.caller;
        let bytes = json_bytes(&parts, body).await?;
        let intent = intent(&parts, &bytes)?;
        Ok(Self { caller, intent, body: read_json(&bytes)? })
    }
}

impl<T: DeserializeOwned + Default, S: Send + Sync> FromRequest<S> for Wish<T> {
    type Rejection = Refusal;
    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let (mut parts, body) = request.into_parts();
        let caller = Asker::from_request_parts(&mut parts, state).await?.caller;
        let bytes = collect(&parts.headers, body).await?;
        if bytes.trim_ascii().is_empty() {
            let intent = intent(&parts, &[])?;
            return Ok(Self { caller, intent, body: T::default() });
        }
        check_json(&parts)?;
        let intent = intent(&parts, &bytes)?;
        Ok(Self { caller, intent, body: read_json(&bytes)? })
    }
}

/// A JSON body of a request nobody has to be known for.
pub(crate) async fn open_json<T: DeserializeOwned>(request: Request) -> Answer<(T, Intent)> {
    let (parts, body) = request.into_parts();
    let bytes = json_bytes(&parts, body).await?;
    // No fingerprint of a body with a password in it is kept.
    let intent = intent(&parts, &[])?;
    Ok((read_json(&bytes)?, intent))
}

/// Refuses a body that does not say that it is JSON.
fn check_json(parts: &Parts) -> Answer<()> {
    let kind = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = kind.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    if essence != "application/json" && essence != "application/merge-patch+json" {
        let shown: String = kind.chars().take(64).collect();
        return Err(Refusal::new(Kind::UnsupportedMediaType, format!("the body's type is {shown:?}"))
            .hint("Send Content-Type: application/json.")
            .close());
    }
    Ok(())
}

async fn json_bytes(parts: &Parts, body: Body) -> Answer<Bytes> {
    check_json(parts)?;
    collect(&parts.headers, body).await
}

async fn collect(headers: &HeaderMap, body: Body) -> Answer<Bytes> {
    let too_large = || {
        Refusal::new(Kind::TooLarge, format!("the body is larger than {MAX_JSON} bytes"))
            .hint("Upload images with PATCH /api/v1/images/{image}/content.")
            .close()
    };
    let announced =
        headers.get(http::header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
    if announced.is_some_and(|length: u64| length > MAX_JSON as u64) {
        return Err(too_large());
    }
    let reading = async {
        let mut stream = body.into_data_stream();
        let mut all = BytesMut::new();
        while let Some(piece) = stream.next().await {
            let piece = piece.map_err(|_| Refusal::new(Kind::Invalid, "the body ended in the middle").close())?;
            if all.len() + piece.len() > MAX_JSON {
                return Err(too_large());
            }
            all.extend_from_slice(&piece);
        }
        Ok(all.freeze())
    };
    tokio::time::timeout(BODY_TIMEOUT, reading).await.unwrap_or_else(|_| {
        let seconds = BODY_TIMEOUT.as_secs();
        Err(Refusal::new(Kind::Timeout, format!("the body did not arrive within {seconds} s")).close())
    })
}

fn read_json<T: DeserializeOwned>(bytes: &[u8]) -> Answer<T> {
    serde_json::from_slice(bytes).map_err(|error| {
        use serde_json::error::Category;
        let (what, hint) = match error.classify() {
            Category::Data => ("does not have the right shape", "Compare it with /api/v1/openapi.json."),
            _ => ("is not JSON", "Check commas, quotes and brackets."),
        };
        let mut detail = format!("the body {what}: {error}");
        if detail.len() > 512 {
            detail = detail.chars().take(500).chain("...".chars()).collect();
        }
        Refusal::new(Kind::Invalid, detail).hint(hint)
    })
}

/// How a change is asked for.
pub(crate) fn intent(parts: &Parts, body: &[u8]) -> Answer<Intent> {
    let trace = parts.extensions.get::<Trace>();
    let key = HeaderName::from_static(IDEMPOTENCY_KEY);
    let idempotency_key = match parts.headers.get(&key) {
        None => None,
        Some(value) => Some(value.to_str().map(str::to_owned).map_err(|_| {
            Refusal::invalid(IDEMPOTENCY_KEY, "the header Idempotency-Key has other than printable ASCII characters")
        })?),
    };
    let request_sha256 = match &idempotency_key {
        Some(_) => fingerprint(&parts.method, &parts.uri, body),
        None => String::new(),
    };
    Ok(Intent {
        idempotency_key,
        request_sha256,
        if_revision: if_match(&parts.headers)?,
        request_id: trace.map(|trace| trace.id.to_string()).unwrap_or_default(),
        peer: trace.map(|trace| trace.peer.to_string()).unwrap_or_default(),
    })
}

/// What makes two requests the same: method, path with query, body.
fn fingerprint(method: &Method, uri: &Uri, body: &[u8]) -> String {
    let path = uri.path_and_query().map_or("", |path| path.as_str());
    let mut text = Vec::with_capacity(body.len() + path.len() + 16);
    text.extend_from_slice(method.as_str().as_bytes());
    text.push(b' ');
    text.extend_from_slice(path.as_bytes());
    text.push(b'\n');
    text.extend_from_slice(body);
    sha256_hex(&text)
}

/// The revision in `If-Match`; `*` and no header mean any.
fn if_match(headers: &HeaderMap) -> Answer<Option<u64>> {
    let Some(value) = headers.get(IF_MATCH) else { return Ok(None) };
    let text = value.to_str().unwrap_or("").trim();
    if text == "*" {
        return Ok(None);
    }
    text.strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .and_then(|number| number.parse().ok())
        .map(Some)
        .ok_or_else(|| {
            let shown: String = text.chars().take(64).collect();
            Refusal::invalid("if-match", format!("If-Match: {shown} is not a revision in quotes"))
                .hint("Give back the ETag of an earlier answer, such as \"42\".")
        })
}

/// An answer with a JSON body.
///
/// # Errors
/// When the value cannot be written, which is a fault of the front-end.
pub fn json<T: Serialize>(status: StatusCode, value: &T) -> Answer {
    let mut body = Vec::with_capacity(1024);
    serde_json::to_writer(&mut body, value).map_err(|error| Refusal::internal("write the answer", &error))?;
    let mut answer = Response::new(Body::from(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(answer)
}

/// The same with the object's revision as its entity tag.
///
/// # Errors
/// As [`json`].
pub fn json_at<T: Serialize>(status: StatusCode, revision: u64, value: &T) -> Answer {
    let mut answer = json(status, value)?;
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{revision}\"")) {
        answer.headers_mut().insert(ETAG, tag);
    }
    Ok(answer)
}

/// The same for a fresh object, with the place where it is found.
///
/// # Errors
/// As [`json`].
pub fn created<T: Serialize>(status: StatusCode, revision: u64, noun: &str, id: u32, value: &T) -> Answer {
    let mut answer = json_at(status, revision, value)?;
    if let Ok(place) = HeaderValue::from_str(&format!("/api/v1/{noun}/{id}")) {
        answer.headers_mut().insert(LOCATION, place);
    }
    Ok(answer)
}

/// An answer without a body.
#[must_use]
pub fn no_content() -> Response {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_parameters_are_read_and_mistakes_named() {
        let list = read_list(Some("limit=5&sort=-name&filter=state:running&filter=name:a*%2Cb")).expect("is fine");
        assert_eq!(list.limit, Some(5));
        assert_eq!(list.filter, [("state".into(), "running".into()), ("name".into(), "a*,b".into())]);
        for (query, field) in [
            ("limit=0", "limit"),
            ("limit=x", "limit"),
            ("limit=1&limit=1", "limit"),
            ("filter=a", "filter"),
            ("p=1", "p"),
        ] {
            let refusal = read_list(Some(query)).expect_err(query);
            assert_eq!(refusal.problem("").field.as_deref(), Some(field));
        }
    }

    #[test]
    fn if_match_takes_a_quoted_revision() {
        let of =
            |text: &str| if_match(&HeaderMap::from_iter([(IF_MATCH, HeaderValue::from_str(text).expect("value"))]));
        assert_eq!(of("\"42\"").expect("is fine"), Some(42));
        assert_eq!(of("*").expect("is fine"), None);
        for text in ["42", "W/\"42\"", "\"\"", "\"-1\"", "\"1\", \"2\""] {
            assert!(of(text).is_err(), "{text}");
        }
    }
}
