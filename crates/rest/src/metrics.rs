//! Metrics for Prometheus.
//!
//! What is counted while requests are answered is kept ready per route, so that counting costs a few atomic additions
//! and no allocation. What can be looked up is looked up when somebody asks.

use crate::link::Links;
use holm_desk::Counts;
use http::{Method, StatusCode};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Upper bounds of the latency histogram, seconds.
const BOUNDS: [f64; 12] = [0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5, 10.0];
const METHODS: [Method; 6] = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    route: String,
    method: String,
    status: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRoute {
    route: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfState {
    state: String,
}

/// Times something takes, as a histogram. Clones count into the same one.
#[derive(Clone, Debug)]
pub struct Latency {
    histogram: Histogram,
    count: Arc<AtomicU64>,
}

impl Default for Latency {
    fn default() -> Self {
        Self { histogram: Histogram::new(BOUNDS), count: Arc::default() }
    }
}

impl Latency {
    /// Counts one.
    pub fn observe(&self, took: Duration) {
        self.histogram.observe(took.as_secs_f64());
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    /// How many were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

/// One number of a part of the front-end that the API does not see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    name: &'static str,
    help: &'static str,
    value: u64,
    grows: bool,
}

impl Reading {
    /// A count since the start that only grows; its name is shown with `_total` after it.
    #[must_use]
    pub fn counter(name: &'static str, help: &'static str, value: u64) -> Self {
        Self { name, help, value, grows: true }
    }

    /// A number that may also fall.
    #[must_use]
    pub fn gauge(name: &'static str, help: &'static str, value: u64) -> Self {
        Self { name, help, value, grows: false }
    }

    /// Its name, without what all names begin with.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }
}

/// What parts of the front-end that the API does not see say about themselves.
pub struct Insight {
    /// Histograms with their names (without a unit) and meanings.
    pub latencies: Vec<(&'static str, &'static str, Latency)>,
    /// Looks up numbers; called when somebody reads the metrics, so it must be quick.
    pub readings: Box<dyn Fn() -> Vec<Reading> + Send + Sync>,
}

impl Default for Insight {
    fn default() -> Self {
        Self { latencies: vec![], readings: Box::new(Vec::new) }
    }
}

/// Which route a request belongs to, for its metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Series(usize);

struct Route {
    name: String,
    /// By method and hundred of the status; made when first needed.
    answered: Vec<OnceLock<Counter>>,
    seconds: Histogram,
}

/// The metrics of the API.
pub struct Metrics {
    registry: Registry,
    answered: Family<Answered, Counter>,
    /// By number, the last for what has no route.
    routes: Vec<Route>,
    by_path: matchit::Router<usize>,
    readings: Box<dyn Fn() -> Vec<Reading> + Send + Sync>,
}

impl Metrics {
    /// Metrics for these routes and of what the API does not see; requests to other paths are counted together.
    #[must_use]
    pub fn new(paths: Vec<String>, insight: Insight) -> Self {
        let mut registry = Registry::with_prefix("holm");
        for (name, help, latency) in insight.latencies {
            registry.register_with_unit(name, help, Unit::Seconds, latency.histogram);
        }
        let answered = Family::<Answered, Counter>::default();
        registry.register("http_requests", "Requests answered, by route, method and status", answered.clone());
        let seconds = Family::<OfRoute, Histogram, fn() -> Histogram>::new_with_constructor(|| Histogram::new(BOUNDS));
        registry.register_with_unit(
            "http_request_duration",
            "Time until the head of the answer, by route",
            Unit::Seconds,
            seconds.clone(),
        );
        let mut by_path = matchit::Router::new();
        for (number, path) in paths.iter().enumerate() {
            if let Err(error) = by_path.insert(path, number) {
                // Its requests are counted with those that have no route.
                tracing::error!(path, %error, "a route has no metrics of its own");
            }
        }
        let routes: Vec<Route> = paths
            .into_iter()
            .chain(["(other)".to_owned()])
            .map(|name| Route {
                answered: (0..METHODS.len() * 6).map(|_| OnceLock::new()).collect(),
                seconds: seconds.get_or_create_owned(&OfRoute { route: name.clone() }),
                name,
            })
            .collect();
        Self { registry, answered, routes, by_path, readings: insight.readings }
    }

    /// The route of a path.
    #[must_use]
    pub fn series(&self, path: &str) -> Series {
        Series(self.by_path.at(path).map_or(self.routes.len() - 1, |found| *found.value))
    }

    /// Counts one answer.
    pub fn answered(&self, series: Series, method: &Method, status: StatusCode, after: Duration) {
        let Some(route) = self.routes.get(series.0) else { return };
        route.seconds.observe(after.as_secs_f64());
        let Some(method_at) = METHODS.iter().position(|known| known == method) else { return };
        let class = usize::from(status.as_u16() / 100).min(5);
        let counter = route.answered[method_at * 6 + class].get_or_init(|| {
            self.answered.get_or_create_owned(&Answered {
                route: route.name.clone(),
                method: method.as_str().to_owned(),
                status: format!("{class}xx"),
            })
        });
        counter.inc();
    }

    /// All metrics as text.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn encode(&self, counts: &Counts, revision: u64, links: &Links) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        // Two registries make one page: the end mark of the first goes.
        if let Some(rest) = text.strip_suffix("# EOF\n") {
            text.truncate(rest.len());
        }
        encode(&mut text, &present(counts, revision, links, &(self.readings)()))?;
        Ok(text)
    }
}

/// What is looked up when somebody asks.
fn present(counts: &Counts, revision: u64, links: &Links, readings: &[Reading]) -> Registry {
    let mut registry = Registry::with_prefix("holm");
    for (name, help, states) in [
        ("vms", "VMs by state", &counts.vms),
        ("hosts", "Hosts by state", &counts.hosts),
        ("images", "Images by state", &counts.images),
    ] {
        let family = Family::<OfState, Gauge>::default();
        for (state, count) in states {
            let label = OfState { state: state.clone() };
            family.get_or_create_owned(&label).set(i64::try_from(*count).unwrap_or(i64::MAX));
        }
        registry.register(name, help, family);
    }
    let mut gauge = |name: &str, help: &str, value: u64| {
        let gauge = Gauge::<i64>::default();
        gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        registry.register(name, help, gauge);
    };
    gauge("store_revision", "Revision of the store; its growth is the number of commits", revision);
    gauge("links", "Hosts whose agent is connected", links.connected() as u64);
    gauge("streams", "Consoles and screens open over the hosts' links", links.streams());
    for reading in readings.iter().filter(|reading| !reading.grows) {
        gauge(reading.name, reading.help, reading.value);
    }
    for reading in readings.iter().filter(|reading| reading.grows) {
        let counter = Counter::<u64>::default();
        counter.inc_by(reading.value);
        registry.register(reading.name, reading.help, counter);
    }
    if let Some(usage) = usage() {
        let memory = Gauge::<i64>::default();
        memory.set(i64::try_from(usage.resident_bytes).unwrap_or(i64::MAX));
        registry.register("process_resident_memory_bytes", "Memory of the front-end's process", memory);
        let seconds = Counter::<f64, AtomicU64>::default();
        seconds.inc_by(usage.cpu_s);
        registry.register_with_unit("process_cpu", "Processor time of the front-end's process", Unit::Seconds, seconds);
    }
    registry
}

struct Usage {
    resident_bytes: u64,
    cpu_s: f64,
}

/// What the kernel says of this process; `None` where there is no `/proc`.
fn usage() -> Option<Usage> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let resident_kib: u64 = resident.trim().strip_suffix("kB")?.trim().parse().ok()?;
    // The second field is the program's name in parentheses, which may itself hold blanks and parentheses.
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    // Linux has counted in hundredths of a second towards programs on every architecture for decades.
    Some(Usage { resident_bytes: resident_kib * 1024, cpu_s: ticks as f64 / 100.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_counted_by_itself() {
        let paths = crate::api::openapi::paths();
        let metrics = Metrics::new(paths.clone(), Insight::default());
        for (number, path) in paths.iter().enumerate() {
            assert_eq!(metrics.series(path), Series(number), "{path}");
        }
    }

    #[test]
    fn requests_are_counted_under_their_route() {
        let latency = Latency::default();
        let insight = Insight {
            latencies: vec![("store_commit_duration", "Time of a commit", latency.clone())],
            readings: Box::new(|| {
                vec![Reading::counter("engine_claims", "Claims", 5), Reading::gauge("engine_queue_length", "Queue", 2)]
            }),
        };
        latency.observe(Duration::from_millis(3));
        assert_eq!(latency.count(), 1);
        let metrics = Metrics::new(vec!["/api/v1/vms".into(), "/api/v1/vms/{vm}".into(), "/healthz".into()], insight);
        for (path, route) in [
            ("/api/v1/vms", 0),
            ("/api/v1/vms/web", 1),
            ("/api/v1/vms/", 3),
            ("/api/v1/vms/web/x", 3),
            ("/healthz", 2),
            ("", 3),
        ] {
            assert_eq!(metrics.series(path), Series(route), "{path}");
        }
        for _ in 0..3 {
            metrics.answered(Series(1), &Method::GET, StatusCode::OK, Duration::from_millis(2));
        }
        let counts = Counts { vms: [("running".to_owned(), 7)].into(), ..Counts::default() };
        let text = metrics.encode(&counts, 42, &Links::new()).expect("is written");
        for line in [
            "holm_http_requests_total{route=\"/api/v1/vms/{vm}\",method=\"GET\",status=\"2xx\"} 3",
            "holm_http_request_duration_seconds_count{route=\"/api/v1/vms/{vm}\"} 3",
            "holm_vms{state=\"running\"} 7",
            "holm_store_revision 42",
            "holm_links 0",
            "holm_store_commit_duration_seconds_count 1",
            "holm_store_commit_duration_seconds_bucket{le=\"0.005\"} 1",
            "holm_store_commit_duration_seconds_bucket{le=\"0.0025\"} 0",
            "holm_engine_claims_total 5",
            "holm_engine_queue_length 2",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
        assert_eq!(text.matches("# EOF").count(), 1);
        assert!(text.contains("holm_process_resident_memory_bytes "));
    }
}
