//! The machine of loading: which model ranks, how far it is, which worker loads it.
//!
//! Invariant: what is said of a load that another took the place of is dropped here, once, for everyone.

use super::settings::Chosen;
use crate::worker::problem::{Code, Problem};
use crate::worker::protocol::{Card, LoadStage, ModelRef, Progress};

/// Breakdowns of the worker in a row before the page stops starting a new one by itself.
const MAX_RESTARTS: u32 = 2;

#[derive(Debug, Clone, PartialEq)]
pub struct Loading {
    pub engine: Engine,
    /// What the engine has or is to load.
    pub model: Model,
    /// Grows when the worker has to be replaced.
    pub worker_generation: u32,
    /// Grows when the model has to be loaded.
    pub load_generation: u32,
    n_restarts: u32,
}

/// What the engine's thread is doing.
#[derive(Debug, Clone, PartialEq)]
pub enum Engine {
    /// The worker itself is being started.
    Starting,
    Loading(Progress),
    Ready(Box<Card>),
    Failed(Problem),
}

impl Engine {
    pub fn card(&self) -> Option<&Card> {
        match self {
            Engine::Ready(card) => Some(card),
            _ => None,
        }
    }
}

/// Which model ranks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Model {
    /// The page's own.
    Starter,
    Stored(Chosen),
    /// A file of this visit, by the id under which the page keeps it.
    File {
        payload: u64,
        name: String,
    },
}

impl Model {
    /// As the worker is told.
    pub fn to_ref(&self) -> ModelRef {
        match self {
            Model::Starter => ModelRef::Starter,
            Model::Stored(chosen) => ModelRef::Stored(chosen.key.clone()),
            Model::File { name, .. } => ModelRef::File(name.clone()),
        }
    }

    pub fn payload(&self) -> Option<u64> {
        match self {
            Model::File { payload, .. } => Some(*payload),
            _ => None,
        }
    }

    /// What it was called where it was chosen.
    pub fn name(&self) -> Option<String> {
        match self {
            Model::Starter => None,
            Model::Stored(Chosen { name, .. }) | Model::File { name, .. } => Some(name.clone()),
        }
    }

    pub fn is_starter(&self) -> bool {
        *self == Model::Starter
    }

    /// Whether it is the store's model of this key.
    pub fn has_key(&self, key: &str) -> bool {
        matches!(self, Model::Stored(chosen) if chosen.key == key)
    }
}

impl Loading {
    pub fn new(model: Model) -> Self {
        Self { engine: Engine::Starting, model, worker_generation: 0, load_generation: 0, n_restarts: 0 }
    }

    pub fn card(&self) -> Option<&Card> {
        self.engine.card()
    }

    pub fn is_ready(&self) -> bool {
        self.card().is_some()
    }

    /// Whether a processor is being tried: if the browser breaks down meanwhile, that may be why.
    pub fn is_trying(&self) -> bool {
        let is_at_it = |stage| matches!(stage, LoadStage::Read | LoadStage::Build | LoadStage::SelfTest);
        matches!(&self.engine, Engine::Loading(Progress { stage, .. }) if is_at_it(*stage))
    }

    /// Whether what is said of this load is still of interest.
    pub fn is_current(&self, load: u32) -> bool {
        load == self.load_generation
    }

    /// Loads the model, anew where it was loaded.
    pub fn load(&mut self) {
        self.load_generation += 1;
        self.engine = Engine::Loading(Progress { stage: LoadStage::Start, done: 0, total: 0 });
    }

    pub fn progress(&mut self, progress: Progress) {
        // After a cancel the worker may still report what it was doing.
        if matches!(self.engine, Engine::Loading(_)) {
            self.engine = Engine::Loading(progress);
        }
    }

    pub fn fail(&mut self, problem: Problem) {
        self.engine = Engine::Failed(problem);
    }

    pub fn cancel(&mut self) {
        if matches!(self.engine, Engine::Loading(_) | Engine::Starting) {
            self.fail(Problem::new(Code::LoadCancelled, ""));
        }
    }

    /// A worker that answers is a good one.
    pub fn prove(&mut self) {
        self.n_restarts = 0;
    }

    /// Loads the model in another way, over whatever is or was going on.
    pub fn change(&mut self) {
        match &self.engine {
            Engine::Starting => {} // it loads once the worker listens
            Engine::Failed(problem) if is_of_worker(problem.code) => self.start_worker(),
            _ => self.load(),
        }
    }

    /// A new worker takes over, at the reader's wish.
    pub fn start_worker(&mut self) {
        self.n_restarts = 0;
        self.worker_generation += 1;
        self.engine = Engine::Starting;
    }

    /// The worker broke down: a new one takes over, unless that happened too often. Says whether one does.
    pub fn restart(&mut self, problem: Problem) -> bool {
        self.n_restarts += 1;
        if self.n_restarts > MAX_RESTARTS {
            self.fail(problem);
            return false;
        }
        self.worker_generation += 1;
        self.engine = Engine::Starting;
        true
    }
}

/// Problems that only a new worker ends.
pub fn is_of_worker(code: Code) -> bool {
    matches!(code, Code::WorkerMissing | Code::WorkerCrashed)
}
