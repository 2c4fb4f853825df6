//! stub
#[derive(Clone, Debug, Default)]
pub struct Telemetry;
impl Telemetry {
    pub fn declare_part(&self, _target: &str, _part: &'static str, _reasons: &[&'static str]) {}
    pub fn poll(&self, _target: &str, _part: &'static str) {}
    pub fn failure(&self, _target: &str, _part: &'static str, _reason: &'static str) {}
    pub fn request(&self, _target: &str) {}
    pub fn clock_step(&self) {}
}
