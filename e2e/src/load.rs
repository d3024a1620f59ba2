//! Plain HTTP/1.1 over one connection, without a client library, so that the server is what is measured.

use anyhow::{Context as _, Result, bail};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// A connection that is kept open.
pub struct Http {
    stream: BufReader<TcpStream>,
    token: String,
    line: String,
    body: Vec<u8>,
}

impl Http {
    /// Connects to `address`; requests carry `token` when it is not empty.
    ///
    /// # Errors
    /// When nothing listens there.
    pub fn connect(address: &str, token: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        Ok(Self {
            stream: BufReader::with_capacity(64 << 10, stream),
            token: token.into(),
            line: String::new(),
            body: vec![],
        })
    }

    /// Sends one request and reads the whole answer: status and body.
    ///
    /// # Errors
    /// When the connection breaks or the answer is no HTTP.
    pub fn call(&mut self, method: &str, path: &str, body: &str) -> Result<(u16, &[u8])> {
        self.send(method, path, "application/json", body)
    }

    /// As [`Self::call`], with the body's type.
    ///
    /// # Errors
    /// When the connection breaks or the answer is no HTTP.
    pub fn send(&mut self, method: &str, path: &str, kind: &str, body: &str) -> Result<(u16, &[u8])> {
        let mut request = format!("{method} {path} HTTP/1.1\r\nhost: holm\r\n");
        if !self.token.is_empty() {
            request.push_str(&format!("authorization: Bearer {}\r\n", self.token));
        }
        if !body.is_empty() {
            request.push_str(&format!("content-type: {kind}\r\ncontent-length: {}\r\n", body.len()));
        }
        request.push_str("\r\n");
        request.push_str(body);
        self.stream.get_mut().write_all(request.as_bytes())?;
        self.read_answer()
    }

    fn read_answer(&mut self) -> Result<(u16, &[u8])> {
        self.next_line()?;
        let status = self.line.split(' ').nth(1).and_then(|s| s.parse().ok()).context("no HTTP status")?;
        let (mut length, mut chunked) = (0, false);
        loop {
            self.next_line()?;
            if self.line.is_empty() {
                break;
            }
            let (name, value) = self.line.split_once(':').context("no colon in a header")?;
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse()?;
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                chunked = value.trim().eq_ignore_ascii_case("chunked");
            }
        }
        if chunked {
            self.body.clear();
            loop {
                self.next_line()?;
                let size = usize::from_str_radix(self.line.trim(), 16)?;
                let start = self.body.len();
                self.body.resize(start + size, 0);
                self.stream.read_exact(&mut self.body[start..])?;
                self.next_line()?;
                if size == 0 {
                    break;
                }
            }
        } else {
            self.body.resize(length, 0);
            self.stream.read_exact(&mut self.body)?;
        }
        Ok((status, &self.body))
    }

    fn next_line(&mut self) -> Result<()> {
        self.line.clear();
        if self.stream.read_line(&mut self.line)? == 0 {
            bail!("the server closed the connection");
        }
        self.line.truncate(self.line.trim_end_matches(['\r', '\n']).len());
        Ok(())
    }

    /// As [`Self::call`], for JSON; anything but success is an error.
    ///
    /// # Errors
    /// When the answer is no success or no JSON.
    pub fn json(&mut self, method: &str, path: &str, body: &str) -> Result<serde_json::Value> {
        let (status, answer) = self.call(method, path, body)?;
        if !(200..300).contains(&status) {
            bail!("{method} {path}: {status} {}", String::from_utf8_lossy(answer));
        }
        if answer.is_empty() {
            return Ok(serde_json::Value::Null);
        }
        Ok(serde_json::from_slice(answer)?)
    }
}

/// Sorted durations with their quantiles.
#[derive(Clone, Debug, Default)]
pub struct Times(Vec<Duration>);

impl Times {
    /// From durations in any order.
    #[must_use]
    pub fn new(mut all: Vec<Duration>) -> Self {
        all.sort();
        Self(all)
    }

    /// The duration below which `share` (0 to 1) of all lie, milliseconds.
    #[must_use]
    pub fn quantile_ms(&self, share: f64) -> f64 {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a rank within the list"
        )]
        let at = ((self.0.len() as f64 * share).ceil() as usize).clamp(1, self.0.len().max(1)) - 1;
        self.0.get(at).map_or(f64::NAN, |d| d.as_secs_f64() * 1000.0)
    }
}

/// Runs `work` on `connections` threads for `seconds`; gives calls per second and the time of each call.
///
/// # Errors
/// The first failed call.
pub fn flood(
    connections: usize,
    seconds: f64,
    work: impl Fn(usize) -> Result<Box<dyn FnMut(u64) -> Result<()> + Send>> + Sync,
) -> Result<(f64, Times)> {
    let start = Instant::now();
    let all = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..connections)
            .map(|number| {
                let work = &work;
                scope.spawn(move || -> Result<Vec<Duration>> {
                    let mut call = work(number)?;
                    let mut times = Vec::with_capacity(100_000);
                    let mut round = 0;
                    while start.elapsed().as_secs_f64() < seconds {
                        let before = Instant::now();
                        call(round)?;
                        times.push(before.elapsed());
                        round += 1;
                    }
                    Ok(times)
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|t| t.join().map_err(|_| anyhow::anyhow!("a load thread panicked"))?)
            .collect::<Result<Vec<_>>>()
    })?;
    let all: Vec<Duration> = all.into_iter().flatten().collect();
    #[allow(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = all.len() as f64 / start.elapsed().as_secs_f64();
    Ok((rate, Times::new(all)))
}
