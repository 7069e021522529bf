//! What is measured, of whom, and in which order.

/// The stores that programs are measured on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Store {
    /// The Redis server that the command starts.
    Redis,
    /// A file of SQLite in a temporary folder.
    Sqlite,
    /// Nothing but the memory of the process.
    Memory,
}

/// The programs that measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Program {
    /// The one of nq, a benchmark of the workspace.
    Nq,
    /// One of the Rust peers, by the name of its binary.
    Rust(&'static str),
    /// The one of BullMQ on Node.
    Node,
}

/// Somebody who is measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Contender {
    /// Its name in `--only` and in the figures.
    pub(super) name: &'static str,
    /// Its name in tables and charts.
    pub(super) label: &'static str,
    pub(super) program: Program,
    pub(super) store: Store,
}

const fn contender(name: &'static str, label: &'static str, program: Program, store: Store) -> Contender {
    Contender { name, label, program, store }
}

/// Everybody who is measured, as the columns of the tables stand.
pub(super) const CONTENDERS: [Contender; 8] = [
    contender("nq", "nq", Program::Nq, Store::Redis),
    contender("bullmq-node", "BullMQ, Node", Program::Node, Store::Redis),
    contender("bullmq-rust", "BullMQ, Rust", Program::Rust("bullmq"), Store::Redis),
    contender("apalis", "apalis", Program::Rust("apalis"), Store::Redis),
    contender("rusty-sidekiq", "rusty-sidekiq", Program::Rust("sidekiq"), Store::Redis),
    contender("nq-sqlite", "nq, `sqlite:`", Program::Nq, Store::Sqlite),
    contender("nq-memory", "nq, `memory:`", Program::Nq, Store::Memory),
    contender("duroxide", "duroxide, SQLite", Program::Rust("duroxide"), Store::Sqlite),
];

/// One thing that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Workload {
    /// Its name in the programs and in the figures.
    pub(super) name: &'static str,
    /// How many jobs or runs there are at a time.
    pub(super) at: u32,
}

const fn workload(name: &'static str, at: u32) -> Workload {
    Workload { name, at }
}

/// On Redis. `kept` weighs what finished runs leave behind.
const ON_REDIS: [Workload; 9] = [
    workload("drain", 1),
    workload("drain", 10),
    workload("drain", 50),
    workload("drain", 256),
    workload("live", 50),
    workload("pickup", 10),
    workload("chain", 50),
    workload("fan", 50),
    workload("kept", 50),
];

/// Embedded.
const EMBEDDED: [Workload; 4] =
    [workload("drain", 50), workload("pickup", 10), workload("chain", 50), workload("fan", 50)];

/// One measurement to take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    pub(super) contender: Contender,
    pub(super) workload: Workload,
    /// Whether Redis writes its append-only file.
    pub(super) appendonly: bool,
    pub(super) round: u32,
}

/// Why somebody is not measured at something.
pub(super) fn left_out(contender: &str, workload: &str) -> Option<&'static str> {
    match (contender, workload) {
        ("rusty-sidekiq", "fan") => {
            Some("it has nothing that waits for several jobs, nor do its docs say how to build it")
        }
        _ => None,
    }
}

/// All measurements of a run, by turns: everybody does a thing before anybody does the next one, and who begins
/// changes with the round.
pub(super) fn turns(rounds: u32, chosen: impl Fn(&Contender, &Workload) -> bool) -> Vec<Turn> {
    let mut turns = Vec::new();
    for round in 0..rounds {
        for (appendonly, on_redis) in [(false, true), (true, true), (false, false)] {
            let workloads: &[Workload] = if on_redis { &ON_REDIS } else { &EMBEDDED };
            // What is left behind is the same with an append-only file.
            let workloads = workloads.iter().filter(|workload| !(appendonly && workload.name == "kept"));
            let mut here: Vec<_> =
                CONTENDERS.iter().filter(|who| (who.store == Store::Redis) == on_redis).collect();
            let first = round as usize % here.len();
            here.rotate_left(first);
            for workload in workloads {
                let able = here.iter().filter(|who| left_out(who.name, workload.name).is_none());
                let asked = able.filter(|who| chosen(who, workload));
                turns.extend(asked.map(|who| Turn {
                    contender: **who,
                    workload: *workload,
                    appendonly,
                    round,
                }));
            }
        }
    }
    turns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_does_a_thing_before_anybody_does_the_next() {
        let turns = turns(2, |_, _| true);
        let drains: Vec<_> = turns
            .iter()
            .filter(|turn| turn.workload == workload("drain", 50) && turn.contender.store == Store::Redis)
            .map(|turn| (turn.round, turn.appendonly, turn.contender.name))
            .collect();
        let names = ["nq", "bullmq-node", "bullmq-rust", "apalis", "rusty-sidekiq"];
        let rotated = ["bullmq-node", "bullmq-rust", "apalis", "rusty-sidekiq", "nq"];
        let expected: Vec<_> = [(0, false, names), (0, true, names), (1, false, rotated), (1, true, rotated)]
            .into_iter()
            .flat_map(|(round, appendonly, names)| names.map(|name| (round, appendonly, name)))
            .collect();
        assert_eq!(drains, expected);
        let begun = turns.iter().position(|turn| turn.workload.name == "live").unwrap();
        assert!(turns[..begun].iter().all(|turn| turn.workload.name == "drain"));
    }

    #[test]
    fn nobody_is_measured_at_what_it_does_not_have() {
        let turns = turns(1, |_, _| true);
        assert!(turns.iter().all(|turn| left_out(turn.contender.name, turn.workload.name).is_none()));
        assert!(turns.iter().any(|turn| turn.contender.name == "duroxide"));
        let embedded = turns.iter().filter(|turn| turn.contender.store != Store::Redis);
        assert!(
            embedded.clone().count() == 3 * EMBEDDED.len() && embedded.clone().all(|turn| !turn.appendonly)
        );
    }

    #[test]
    fn what_is_chosen_is_all_that_is_measured() {
        let turns = turns(3, |who, workload| who.name == "nq" && workload.name == "pickup");
        assert_eq!(turns.len(), 6);
        assert_eq!(turns.iter().filter(|turn| turn.appendonly).count(), 3);
    }
}
