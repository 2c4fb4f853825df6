pub mod config;
#[cfg(test)]
pub mod scripted {
    use crate::{model::*, upstream::*};
    #[derive(Debug)]
    pub struct Scripted;
    impl Scripted {
        pub fn parts(&self) -> Vec<Part> {
            vec![]
        }
        pub async fn read(&mut self, _p: Part, _n: Moment) -> Result<Step, FetchError> {
            std::future::pending().await
        }
        pub fn take_requests(&mut self) -> u64 {
            0
        }
    }
}
