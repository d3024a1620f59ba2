//! `holm api`: a raw request.

use super::App;
use crate::args::access::Api;
use crate::errors::{Error, Result};
use crate::fields::read_file;
use holm_wire::v1::IDEMPOTENCY_KEY;
use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Method, Url};

pub(super) async fn run(app: &App, args: Api) -> Result {
    let given = args.path.trim_start_matches('/');
    let below = given.strip_prefix("api/v1/").unwrap_or(given);
    // Parsing shows where the request really goes: `..` must not lead out of the interface unseen.
    let url: Url = app.client.url(&format!("/{below}"), &[])?;
    let root = app.client.url("/", &[])?;
    let Some(rest) = url.as_str().strip_prefix(root.as_str()) else {
        return Err(Error::usage(format!("{:?} is not below /api/v1", args.path)));
    };
    let mut request = app.client.request(args.method.clone(), &format!("/{rest}"), &[])?;
    if !matches!(args.method, Method::GET | Method::HEAD) {
        let key = args.idempotency_key.clone().unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
        request = request.header(IDEMPOTENCY_KEY, key);
    }
    let body = match args.data.as_deref() {
        None => None,
        Some("-") => Some(read_file("--data", "-")?),
        Some(text) => match text.strip_prefix('@') {
            Some(file) => Some(read_file("--data", file)?),
            None => Some(text.to_owned()),
        },
    };
    let typed = args.header.iter().any(|header| header.to_ascii_lowercase().starts_with("content-type:"));
    if let Some(body) = body {
        if !typed {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        request = request.body(body);
    }
    for header in &args.header {
        let wrong = || Error::usage(format!("--header: {header:?} is not NAME:VALUE"));
        let (name, value) = header.split_once(':').ok_or_else(wrong)?;
        let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| wrong())?;
        request = request.header(name, HeaderValue::from_str(value.trim()).map_err(|_| wrong())?);
    }
    let mut response = app.client.stream(request).await?;
    if args.method == Method::HEAD {
        let headers: String = response
            .headers()
            .iter()
            .map(|(name, value)| format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes())))
            .collect();
        return app.output.text(&headers);
    }
    let mut last = None;
    while let Some(bytes) = response.chunk().await.map_err(|e| app.client.unreachable(&e))? {
        last = bytes.last().copied().or(last);
        if app.output.is_terminal() {
            app.output.text(&String::from_utf8_lossy(&bytes))?;
        } else {
            app.output.bytes(&bytes)?;
        }
    }
    if app.output.is_terminal() && last.is_some_and(|byte| byte != b'\n') {
        app.output.bytes(b"\n")?;
    }
    Ok(())
}
