// timer [TIMES [LIVE [SLEEPS]]]: ../../timer.c with Tokio: a timer armed and disarmed while 100,000 tasks sleep; how late a sleep of 1 ms is. One thread.
mod measure;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::{sleep, Sleep};

// A timer is armed by its first poll, and disarmed when dropped.
struct Armed<'a>(Pin<&'a mut Sleep>);

impl Future for Armed<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        assert!(self.0.as_mut().poll(context).is_pending());
        Poll::Ready(())
    }
}

async fn app(times: usize, live: usize, sleeps: usize) {
    let mut set = JoinSet::new();
    for i in 0..live {
        set.spawn(sleep(Duration::from_secs(3600) + Duration::from_millis(i as u64)));
    }
    sleep(Duration::from_millis(50)).await;

    let mut begin = Instant::now();
    for i in 0..times {
        let timer = sleep(Duration::from_secs(60) + Duration::from_nanos(i as u64));
        tokio::pin!(timer);
        Armed(timer).await;
    }
    measure::print_result("arm-disarm", begin.elapsed().as_secs_f64() * 1e9 / times as f64, "ns");

    let mut late = 0.0;
    for _ in 0..sleeps {
        begin = Instant::now();
        sleep(Duration::from_millis(1)).await;
        let took = begin.elapsed().as_secs_f64();
        assert!(took >= 1e-3);
        late += took - 1e-3;
    }
    measure::print_result("sleep-late", late * 1e6 / sleeps as f64, "us");
    assert_eq!(set.len(), live);
}

fn main() {
    measure::run(1, app(measure::number(1, 1_000_000), measure::number(2, 100_000), measure::number(3, 500)));
}
