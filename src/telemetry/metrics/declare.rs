//! From a line of the table to a metric.

use prometheus::{Counter, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts};

/// How each kind of metric is made.
pub(super) trait Declare: Sized {
    fn declare(name: &str, help: &str, labels: &[&str]) -> prometheus::Result<Self>;
}

impl Declare for IntCounter {
    fn declare(name: &str, help: &str, _: &[&str]) -> prometheus::Result<Self> {
        Self::new(name, help)
    }
}

impl Declare for Counter {
    fn declare(name: &str, help: &str, _: &[&str]) -> prometheus::Result<Self> {
        Self::new(name, help)
    }
}

impl Declare for IntGauge {
    fn declare(name: &str, help: &str, _: &[&str]) -> prometheus::Result<Self> {
        Self::new(name, help)
    }
}

impl Declare for IntCounterVec {
    fn declare(name: &str, help: &str, labels: &[&str]) -> prometheus::Result<Self> {
        Self::new(Opts::new(name, help), labels)
    }
}

impl Declare for IntGaugeVec {
    fn declare(name: &str, help: &str, labels: &[&str]) -> prometheus::Result<Self> {
        Self::new(Opts::new(name, help), labels)
    }
}

impl Declare for Histogram {
    fn declare(name: &str, help: &str, _: &[&str]) -> prometheus::Result<Self> {
        let seconds = prometheus::exponential_buckets(0.0005, 2.0, 14)?;
        Self::with_opts(HistogramOpts::new(name, help).buckets(seconds))
    }
}
