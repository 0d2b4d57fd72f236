use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Left,
    Crashed,
}

/// What is done to a process from outside.
#[derive(Default)]
pub(super) struct Control(Mutex<State>);

#[derive(Default)]
struct State {
    frozen: bool,
    /// Whether it has not run yet since it was frozen.
    drowsy: bool,
    /// How many more times it runs from one await to the next before it crashes.
    turns_left: Option<u64>,
    waker: Option<Waker>,
}

impl Control {
    /// Stops it as SIGSTOP does.
    pub(super) fn freeze(&self) {
        let mut state = self.0.lock();
        (state.frozen, state.drowsy) = (true, true);
    }

    /// Lets it go on as SIGCONT does.
    pub(super) fn thaw(&self) {
        let mut state = self.0.lock();
        state.frozen = false;
        state.wake();
    }

    /// Ends it as SIGKILL does: at the await that it gets to after so many turns.
    pub(super) fn crash_after(&self, turns: u64) {
        let mut state = self.0.lock();
        state.turns_left = Some(turns);
        if turns == 0 {
            state.frozen = false;
        }
        state.wake();
    }

    /// Lets it live.
    pub(super) fn spare(&self) {
        self.0.lock().turns_left = None;
    }

    /// Whether it runs, and has done so since it was frozen last.
    pub(super) fn is_awake(&self) -> bool {
        !self.0.lock().drowsy
    }

    /// Begins a turn. `None`: not now.
    fn turn(&self, context: &Context<'_>) -> Option<Turn> {
        let mut state = self.0.lock();
        if state.waker.as_ref().is_none_or(|waker| !waker.will_wake(context.waker())) {
            state.waker = Some(context.waker().clone());
        }
        if state.frozen {
            return None;
        }
        match &mut state.turns_left {
            Some(0) => {
                *state = State::default();
                return Some(Turn::Crash);
            }
            Some(turns) => *turns -= 1,
            None => {}
        }
        Some(Turn::Run)
    }
}

impl State {
    fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }
}

enum Turn {
    Run,
    Crash,
}

/// Runs a process under control.
pub(super) async fn run(process: impl Future<Output = ()>, control: &Control) -> End {
    let mut process = Box::pin(process);
    poll_fn(|context| match control.turn(context) {
        None => Poll::Pending,
        Some(Turn::Crash) => Poll::Ready(End::Crashed),
        Some(Turn::Run) => {
            let ran = process.as_mut().poll(context).map(|()| End::Left);
            let mut state = control.0.lock();
            state.drowsy = state.frozen;
            ran
        }
    })
    .await
}
