//! The little of the API that `holmd up` calls itself, as any client would.

use anyhow::{Context as _, Result, bail};
use reqwest::{Client, Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// A logged-in client.
pub struct Api {
    client: Client,
    base: String,
    token: String,
}

impl Api {
    /// Logs in at `base`, such as `http://127.0.0.1:2616`.
    ///
    /// # Errors
    /// When the front-end cannot be reached or refuses the credentials.
    pub async fn login(base: &str, user: &str, password: &str) -> Result<Self> {
        let client = Client::builder().no_proxy().timeout(Duration::from_secs(60)).build()?;
        let mut api = Self { client, base: base.into(), token: String::new() };
        let session = holm_wire::v1::SessionCreate { user: user.into(), password: password.into(), code: None };
        let created: holm_wire::v1::TokenCreated = api.call(Method::POST, "sessions", Some(&session)).await?;
        api.token = created.token;
        Ok(api)
    }

    /// Calls a path below `/api/v1` and reads the JSON answer.
    ///
    /// # Errors
    /// With the front-end's own words when it refuses.
    pub async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T> {
        self.find(method, path, body).await?.with_context(|| format!("{path}: there is no such object"))
    }

    /// As [`Self::call`]; an object that is not there is `None`.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn find<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<Option<T>> {
        let mut request = self.client.request(method, format!("{}/api/v1/{path}", self.base));
        if !self.token.is_empty() {
            request = request.bearer_auth(&self.token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await?;
        match answer.status() {
            StatusCode::NOT_FOUND => Ok(None),
            status if status.is_success() => Ok(Some(answer.json().await?)),
            status => {
                let text = answer.text().await.unwrap_or_default();
                let detail = serde_json::from_str::<holm_wire::v1::Problem>(&text).map_or(text, |p| p.detail);
                bail!("{path}: {status}: {detail}")
            }
        }
    }

    /// Sends the bytes of a file as an image's content.
    ///
    /// # Errors
    /// When the file cannot be read or the front-end refuses it.
    pub async fn upload(&self, image: u32, file: &std::path::Path) -> Result<()> {
        let bytes = tokio::fs::read(file).await.with_context(|| format!("cannot read {}", file.display()))?;
        let answer = self
            .client
            .patch(format!("{}/api/v1/images/{image}/content", self.base))
            .bearer_auth(&self.token)
            .header(holm_wire::v1::UPLOAD_OFFSET, "0")
            .header("content-type", "application/octet-stream")
            .body(bytes)
            .send()
            .await?;
        if !answer.status().is_success() {
            bail!("upload of {}: {}: {}", file.display(), answer.status(), answer.text().await.unwrap_or_default());
        }
        let _: holm_wire::v1::Image = self.call(Method::POST, &format!("images/{image}/complete"), None::<&()>).await?;
        Ok(())
    }
}
