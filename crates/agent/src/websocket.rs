//! The real link and the real way to images: mutual TLS to the front-end.

use crate::join::Enrolled;
use crate::link::{Dial, DialError, Ends};
use async_trait::async_trait;
use futures::{SinkExt, StreamExt};
use holm_driver::{DiskCopy, Fault, Fetch, FetchStream, Freight, Push};
use holm_model::host_plan::ImageRef;
use holm_wire::host::{EXPORT_PATH, Encoded, ExportArrived, IMAGE_PATH, LINK_PATH, MAX_FRAME, Message, PART_PATH};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message as Wire;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

/// Messages under way in each direction between the link and the socket.
const QUEUE: usize = 32;
/// How long connecting and both handshakes may take together.
const CONNECT_LIMIT: Duration = Duration::from_secs(15);
/// Bytes of a file sent with one request.
const PIECE: u64 = 8 << 20;
/// How long a fetch may wait for its first and every next byte.
const STALL_LIMIT: Duration = Duration::from_secs(60);

/// A front-end's address for agents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrontEnd {
    host: String,
    port: u16,
}

impl FrontEnd {
    /// Reads `https://HOST[:PORT]`, also `HOST:PORT`; the port is 2617 unless given.
    ///
    /// # Errors
    /// One sentence when it is no such address.
    pub fn parse(url: &str) -> Result<Self, String> {
        let wrong = |what: &str| {
            format!("{url:?} is no address of a front-end: {what}; write it as https://front.example:2617")
        };
        let rest = match url.split_once("://") {
            Some(("https" | "wss", rest)) => rest,
            Some(_) => return Err(wrong("agents speak only TLS")),
            None => url,
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#', '@']) {
            return Err(wrong("it has more than a host and a port"));
        }
        let (host, port) = match rest.strip_prefix('[').and_then(|r| r.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, port)) => (host, Some(port.strip_prefix(':').ok_or_else(|| wrong("its port is not clear"))?)),
            None => rest.rsplit_once(':').map_or((rest, None), |(host, port)| (host, Some(port))),
        };
        let port = match port {
            None => 2617,
            Some(text) => text.parse().ok().filter(|p| *p != 0).ok_or_else(|| wrong("its port is no number"))?,
        };
        ServerName::try_from(host.to_owned()).map_err(|_| wrong("its host is neither a name nor an address"))?;
        Ok(Self { host: host.to_owned(), port })
    }

    /// Host and port as in a URL.
    #[must_use]
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// TLS as this host: trusts the stored authority alone and shows the host's certificate.
pub(crate) fn tls_config(enrolled: &Enrolled) -> Result<rustls::ClientConfig, String> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(enrolled.authority_pem.as_bytes()) {
        let certificate = certificate.map_err(|e| format!("the stored authority cannot be read: {e}"))?;
        roots.add(certificate).map_err(|e| format!("the stored authority is no certificate: {e}"))?;
    }
    let chain: Vec<_> = CertificateDer::pem_slice_iter(enrolled.certificate_pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|e| format!("the stored certificate cannot be read: {e}"))?;
    let key = PrivateKeyDer::from_pem_slice(enrolled.key_pem.as_bytes())
        .map_err(|e| format!("the stored key cannot be read: {e}"))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| format!("TLS cannot be set up: {e}"))?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .map_err(|e| format!("the stored certificate and key do not fit together: {e}"))
}

/// Dials over mutual TLS.
pub struct TlsDial {
    front: FrontEnd,
    tls: RwLock<tokio_rustls::TlsConnector>,
}

impl TlsDial {
    /// A dialler for an enrolled host.
    ///
    /// # Errors
    /// One sentence when the stored certificates cannot be used.
    pub fn new(enrolled: &Enrolled) -> Result<Self, String> {
        Ok(Self { front: FrontEnd::parse(&enrolled.url)?, tls: RwLock::new(connector(enrolled)?) })
    }

    /// Shows this certificate from now on; links that are open stay open.
    ///
    /// # Errors
    /// One sentence when it cannot be used; then the one before is shown.
    pub fn adopt(&self, enrolled: &Enrolled) -> Result<(), String> {
        *self.tls.write().unwrap_or_else(PoisonError::into_inner) = connector(enrolled)?;
        Ok(())
    }
}

fn connector(enrolled: &Enrolled) -> Result<tokio_rustls::TlsConnector, String> {
    let mut config = tls_config(enrolled)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config).into())
}

#[async_trait]
impl Dial for TlsDial {
    async fn dial(&self) -> Result<Ends, DialError> {
        let address = self.front.authority();
        let failed = |what: &str, why: String| DialError(format!("{what} the front-end at {address}: {why}"));
        let connect = async {
            let tcp = TcpStream::connect((self.front.host.as_str(), self.front.port))
                .await
                .map_err(|e| failed("reaching", e.to_string()))?;
            // Reports are small and wanted at once. A socket that cannot do so works all the same.
            let _ = tcp.set_nodelay(true);
            let name = ServerName::try_from(self.front.host.clone()).map_err(|e| failed("naming", e.to_string()))?;
            let connector = self.tls.read().unwrap_or_else(PoisonError::into_inner).clone();
            let tls = connector.connect(name, tcp).await.map_err(|e| failed("securing the link to", e.to_string()))?;
            let limits = WebSocketConfig::default().max_message_size(Some(MAX_FRAME)).max_frame_size(Some(MAX_FRAME));
            let url = format!("wss://{address}{LINK_PATH}");
            let (socket, _) = tokio_tungstenite::client_async_with_config(url, tls, Some(limits))
                .await
                .map_err(|e| failed("opening the link to", e.to_string()))?;
            Ok::<_, DialError>(socket)
        };
        let socket = tokio::time::timeout(CONNECT_LIMIT, connect)
            .await
            .map_err(|_| failed("reaching", format!("no answer within {} s", CONNECT_LIMIT.as_secs())))??;
        let (outward, mut to_send) = mpsc::channel::<Message>(QUEUE);
        let (received, inward) = mpsc::channel::<Message>(QUEUE);
        let (mut sink, mut source) = socket.split();
        // Both end when the session drops its ends or the socket breaks; ending one ends the other.
        tokio::spawn(async move {
            let send = async {
                while let Some(message) = to_send.recv().await {
                    let wire = match message.encode() {
                        Ok(Encoded::Text(text)) => Wire::Text(text.into()),
                        Ok(Encoded::Binary(bytes)) => Wire::Binary(bytes),
                        Err(error) => {
                            tracing::error!(%error, "a message cannot be sent");
                            break;
                        }
                    };
                    if sink.send(wire).await.is_err() {
                        break;
                    }
                }
                // The other side may be gone already.
                let _ = tokio::time::timeout(Duration::from_secs(1), sink.close()).await;
            };
            let receive = async {
                while let Some(wire) = source.next().await {
                    let message = match wire {
                        Ok(Wire::Text(text)) => Message::from_text(&text),
                        Ok(Wire::Binary(bytes)) => Message::from_binary(bytes),
                        Ok(Wire::Close(_)) | Err(_) => break,
                        Ok(_) => continue,
                    };
                    match message {
                        Ok(message) => {
                            if received.send(message).await.is_err() {
                                break;
                            }
                        }
                        Err(error) => {
                            tracing::warn!(%error, "the front-end sent something that is no message");
                            break;
                        }
                    }
                }
            };
            tokio::select! { () = send => {}, () = receive => {} }
        });
        Ok((outward, inward))
    }
}

/// Fetches images from the front-end over mutual TLS.
pub struct HttpsFetch {
    base: String,
    client: RwLock<reqwest::Client>,
}

impl HttpsFetch {
    /// A fetcher for an enrolled host.
    ///
    /// # Errors
    /// One sentence when the stored certificates cannot be used.
    pub fn new(enrolled: &Enrolled) -> Result<Self, String> {
        let front = FrontEnd::parse(&enrolled.url)?;
        let client = RwLock::new(client(enrolled)?);
        Ok(Self { base: format!("https://{}{IMAGE_PATH}", front.authority()), client })
    }

    /// Shows this certificate from now on.
    ///
    /// # Errors
    /// One sentence when it cannot be used; then the one before is shown.
    pub fn adopt(&self, enrolled: &Enrolled) -> Result<(), String> {
        *self.client.write().unwrap_or_else(PoisonError::into_inner) = client(enrolled)?;
        Ok(())
    }
}

fn client(enrolled: &Enrolled) -> Result<reqwest::Client, String> {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls_config(enrolled)?)
        .https_only(true)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_LIMIT)
        .read_timeout(STALL_LIMIT)
        .build()
        .map_err(|e| format!("HTTPS cannot be set up: {e}"))
}

#[async_trait]
impl Fetch for HttpsFetch {
    async fn fetch(&self, image: &ImageRef, offset: u64) -> Result<FetchStream, Fault> {
        let digest = &image.digest;
        let failed = |why: String| format!("fetching image {digest} from {}: {why}", self.base);
        let client = self.client.read().unwrap_or_else(PoisonError::into_inner).clone();
        let mut request = client.get(format!("{}/{digest}", self.base));
        if offset > 0 {
            request = request.header(reqwest::header::RANGE, format!("bytes={offset}-"));
        }
        let answer = request.send().await.map_err(|e| Fault::transient(failed(innermost(&e))))?;
        let wanted = if offset > 0 { 206 } else { 200 };
        let status = answer.status().as_u16();
        if status == wanted {
            let body = answer.bytes_stream().map(|chunk| chunk.map_err(|e| std::io::Error::other(innermost(&e))));
            return Ok(Box::new(tokio_util::io::StreamReader::new(Box::pin(body))));
        }
        let why = failed(format!("the front-end answered {status} instead of {wanted}"));
        // An image that is missing today may be imported again; only a refusal of the host itself is for good.
        Err(if status == 403 || status == 401 { Fault::permanent(why) } else { Fault::transient(why) })
    }
}

/// Sends copies of disks, and parts of VMs that move, to the front-end over mutual TLS, with the certificate that [`HttpsFetch`] shows.
pub struct HttpsPush {
    base: String,
    client: Arc<HttpsFetch>,
}

impl HttpsPush {
    /// Sends to where `fetch` fetches from.
    #[must_use]
    pub fn new(fetch: Arc<HttpsFetch>) -> Self {
        Self { base: fetch.base.replace(IMAGE_PATH, ""), client: fetch }
    }

    fn url(&self, freight: Freight, copy: &DiskCopy, offset: u64) -> String {
        let path = match freight {
            Freight::Copy(image) => format!("{EXPORT_PATH}/{image}"),
            Freight::Part(vm, part) => format!("{PART_PATH}/{vm}/{part}"),
        };
        format!("{}{path}?size={}&digest={}&offset={offset}", self.base, copy.size, copy.digest)
    }

    async fn heard(&self, freight: Freight, request: reqwest::RequestBuilder) -> Result<ExportArrived, Fault> {
        let failed = |why: String| format!("sending {freight} to {}: {why}", self.base);
        let answer = request.send().await.map_err(|e| Fault::transient(failed(innermost(&e))))?;
        let status = answer.status().as_u16();
        let body = answer.bytes().await.map_err(|e| Fault::transient(failed(innermost(&e))))?;
        if status == 200 {
            return serde_json::from_slice(&body)
                .map_err(|e| Fault::transient(failed(format!("its answer cannot be read: {e}"))));
        }
        let said = serde_json::from_slice::<serde_json::Value>(&body).unwrap_or_default();
        let said = ["detail", "title"].iter().find_map(|part| said[part].as_str()).unwrap_or("it gave no reason");
        let why = failed(format!("the front-end answered {status}: {}", said.chars().take(500).collect::<String>()));
        // Content that is refused stays so; a full disk, a busy front-end or an image not awaited any more may pass.
        Err(if matches!(status, 400 | 401 | 403 | 413 | 422) { Fault::permanent(why) } else { Fault::transient(why) })
    }

    fn client(&self) -> reqwest::Client {
        self.client.client.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl Push for HttpsPush {
    async fn arrived(&self, freight: Freight, copy: &DiskCopy) -> Result<Option<u64>, Fault> {
        let heard = self.heard(freight, self.client().get(self.url(freight, copy, 0))).await?;
        Ok((!heard.complete).then_some(heard.received))
    }

    async fn push(
        &self,
        freight: Freight,
        copy: &DiskCopy,
        mut offset: u64,
        mut bytes: FetchStream,
    ) -> Result<(), Fault> {
        // In pieces, each with an answer: a connection that breaks costs one piece, and one that stalls is noticed.
        let mut first = true;
        loop {
            let mut piece = Vec::new();
            let read = (&mut bytes).take(PIECE).read_to_end(&mut piece).await;
            read.map_err(|e| Fault::transient(format!("reading {freight}: {e}")))?;
            // Where all bytes are there already, somebody still has to look whether they are the right ones.
            if piece.is_empty() && !std::mem::take(&mut first) {
                return Ok(());
            }
            first = false;
            let length = piece.len() as u64;
            let request = self.client().put(self.url(freight, copy, offset)).body(piece);
            let heard = self.heard(freight, request).await?;
            if heard.complete {
                return Ok(());
            }
            offset += length;
            if heard.received != offset {
                let says = format!("the front-end has {} bytes of {freight}, not {offset}", heard.received);
                return Err(Fault::transient(says));
            }
        }
    }
}

/// What lies at the bottom of an error: reqwest's own sentence says only that something went wrong.
pub(crate) fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::FrontEnd;

    #[test]
    fn addresses_are_read_as_people_write_them() {
        for (text, authority) in [
            ("https://front.example", "front.example:2617"),
            ("https://front.example:443/", "front.example:443"),
            ("10.0.0.1:99", "10.0.0.1:99"),
            ("https://[fd00::1]:5", "[fd00::1]:5"),
            ("https://[fd00::1]", "[fd00::1]:2617"),
        ] {
            assert_eq!(FrontEnd::parse(text).expect(text).authority(), authority);
        }
        for text in ["", "http://a", "https://a/b", "https://a:b", "https://a:0", "https://u@a", "https://[::1", "a b"]
        {
            let error = FrontEnd::parse(text).expect_err(text);
            assert!(error.contains("https://front.example:2617"), "{error}");
        }
    }
}
