//! Two stores on one file, as two processes have them. Locks belong to open files, so it is the same to them.

use std::collections::HashSet;
use std::sync::atomic::AtomicBool;

use super::locks::Admission;
use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_share_the_work_and_do_nothing_twice() {
    const RUNS: usize = 100;
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (open(folder.path()).await, open(folder.path()).await);
    for n in 0..RUNS {
        let store = if n % 2 == 0 { &one } else { &two };
        store.start(&begin(&format!("r{n}"))).await.unwrap();
    }
    let work = async |store: &SqliteStore, name: &str| {
        let mut peer = Peer::new(name);
        let (mut leases, mut all): (Vec<Lease>, Vec<StepId>) = (Vec::new(), Vec::new());
        loop {
            let writes: Vec<_> = leases
                .iter()
                .map(|lease| {
                    if lease.step.worker().as_str() == "a" { complete(emit(lease, "b")) } else { done(lease) }
                })
                .collect();
            let reply = peer.turn(store, writes, &[("a", 3), ("b", 3)]).await;
            let committed = |answer: &Answer| matches!(answer, Answer::Committed { .. });
            assert!(reply.answers.iter().all(committed), "{:?}", reply.answers);
            leases = reply.leases;
            all.extend(leases.iter().map(|lease| lease.step.clone()));
            if leases.is_empty() && counts(store, "a").await.queued + counts(store, "b").await.queued == 0 {
                return all.len();
            }
        }
    };
    let (by_one, by_two) = tokio::join!(work(&one, "one"), work(&two, "two"));
    assert_eq!(by_one + by_two, 2 * RUNS);
    assert!(by_one > 0 && by_two > 0, "one did all: {by_one} and {by_two}");
    for n in 0..RUNS {
        let entries = timeline(&two, &format!("r{n}")).await.unwrap();
        let kinds: Vec<_> = entries.iter().map(|entry| entry.kind.as_str()).collect();
        assert_eq!(
            kinds,
            [
                "flow.started",
                "flow.step.started",
                "event.emitted",
                "flow.step.completed",
                "flow.step.started",
                "flow.step.completed",
                "flow.completed"
            ]
        );
    }
}

#[tokio::test]
async fn what_a_process_remembers_gives_way_to_what_another_wrote() {
    let folder = tempfile::tempdir().unwrap();
    let clock = TestClock::new();
    let (one, two) = (open_at(folder.path(), &clock).await, open_at(folder.path(), &clock).await);
    let (mut first, mut second) = (Peer::new("first"), Peer::new("second"));
    one.start(&begin("r")).await.unwrap();
    let frozen = first.lease(&one, "a", 1).await.remove(0);
    assert!(second.lease(&two, "a", 1).await.is_empty());
    // Time passes evenly, so that the lease has run out and is not spared.
    for _ in 0..10 {
        clock.advance(LEASE_MS / 5);
        tick(&two).await;
    }
    let taken = second.lease(&two, "a", 1).await.remove(0);
    assert_eq!((taken.attempt, taken.fence), (2, frozen.fence + 1));
    assert_eq!(first.write(&one, done(&frozen)).await, Answer::LeaseLost);
    assert!(matches!(second.write(&two, done(&taken)).await, Answer::Committed { .. }));
    let ended = Answer::RunEnded { status: nq_core::status::RunStatus::Completed };
    assert_eq!(first.write(&one, done(&frozen)).await, ended);
}

#[tokio::test]
async fn what_a_dead_process_held_comes_back_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let clock = TestClock::new();
    let (one, two) = (open_at(folder.path(), &clock).await, open_at(folder.path(), &clock).await);
    for run in ["r1", "r2"] {
        one.start(&begin(run)).await.unwrap();
    }
    assert_eq!(Peer::new("dies").lease(&one, "a", 2).await.len(), 2);
    assert_eq!(tick(&two).await.expired, 0, "it lives, and its leases last");
    drop(one);
    assert_eq!(tick(&two).await.expired, 2);
    let mut peer = Peer::new("lives");
    let leases = peer.lease(&two, "a", 2).await;
    assert_eq!(leases.iter().map(|lease| lease.attempt).collect::<Vec<_>>(), [2, 2]);
    let entries = timeline(&two, "r1").await.unwrap();
    let lost = nq_core::decide::lost(&InstanceId::new("dies").unwrap());
    assert_eq!(entries[2].data["error"], lost);

    // Whoever opens the file finds it so as well.
    drop(two);
    let three = open_at(folder.path(), &clock).await;
    assert_eq!(counts(&three, "a").await.queued, 2);
}

#[tokio::test]
async fn what_an_instance_held_that_left_comes_back_with_the_next_tick() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    store.start(&begin("r")).await.unwrap();
    let mut peer = Peer::new("leaves");
    peer.lease(&store, "a", 1).await;
    store.leave(&peer.id).await.unwrap();
    assert_eq!(counts(&store, "a").await.leased, 1);
    assert_eq!(tick(&store).await.expired, 1);
    assert_eq!(Peer::new("other").lease(&store, "a", 1).await[0].attempt, 2);
    store.leave(&peer.id).await.unwrap();
    // Its lane is gone: it may begin anew.
    assert!(Peer::new("leaves").lease(&store, "a", 1).await.is_empty());
}

#[tokio::test]
async fn one_who_waits_learns_what_another_process_brings() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (open(folder.path()).await, open(folder.path()).await);
    one.start(&begin("seen")).await.unwrap();
    let patience = Duration::from_secs(500);
    let queues = Interest::Queues(vec![queue("a"), queue("b")]);
    Peer::new("i").lease(&one, "a", 1).await;
    let started = async { two.start(&begin("new")).await.unwrap() };
    let (waited, _) = tokio::join!(one.wait(&queues, patience), started);
    waited.unwrap();
    let entries = Interest::Run { run: run_id("seen"), after: 2 };
    let cancelled = async { two.act(&run_id("seen"), &Act::Cancel { reason: String::new() }).await.unwrap() };
    let (waited, _) = tokio::join!(one.wait(&entries, patience), cancelled);
    waited.unwrap();
}

/// The locks of one store in this folder.
fn locks(folder: &Path, name: &str) -> Locks {
    match Locks::open(&folder.join("locks"), name, false).unwrap() {
        Admission::Admitted(locks) => locks,
        Admission::Refused => panic!("nobody wants to be alone"),
    }
}

#[test]
fn a_busy_process_does_not_starve_a_quiet_one() {
    let folder = tempfile::tempdir().unwrap();
    let (busy, quiet) = (locks(folder.path(), "busy"), locks(folder.path(), "quiet"));
    let (turns, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::SeqCst) {
                let _turn = busy.enter().unwrap();
                turns.fetch_add(1, Ordering::SeqCst);
                // As long as a short transaction.
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let mut waited = Vec::new();
        while waited.len() < 200 {
            let before = turns.load(Ordering::SeqCst);
            let turn = quiet.enter().unwrap();
            waited.push(turns.load(Ordering::SeqCst) - before);
            drop(turn);
        }
        over.store(true, Ordering::SeqCst);
        waited.sort_unstable();
        // The turn that is being taken, and perhaps one that had taken its place in the queue before. The rest
        // is for a quiet thread that is not scheduled between looking at the count and queueing up.
        assert!(waited[waited.len() / 2] <= 2, "{waited:?}");
    });
}

#[test]
fn the_living_are_told_from_the_dead() {
    let folder = tempfile::tempdir().unwrap();
    let (here, there) = (locks(folder.path(), "here"), locks(folder.path(), "there"));
    assert!(!here.lives("there"), "it has not appeared yet");
    here.appear().unwrap();
    there.appear().unwrap();
    assert!(here.lives("here") && here.lives("there") && there.lives("here"));
    assert_eq!(here.others().unwrap(), ["there"]);
    drop(there);
    assert!(!here.lives("there"));
    assert!(here.others().unwrap().is_empty());
    // A process that was killed leaves its file, and nobody holds it.
    std::fs::write(folder.path().join("locks/store-killed"), "").unwrap();
    assert_eq!(here.others().unwrap(), ["killed"]);
    assert!(!here.lives("killed"));
    here.forget("killed");
    let names: HashSet<_> = std::fs::read_dir(folder.path().join("locks"))
        .unwrap()
        .map(|file| file.unwrap().file_name())
        .collect();
    assert_eq!(names, ["main", "next", "sharing", "store-here"].map(Into::into).into());
}

/// Counts how long this takes, in milliseconds.
async fn timed<T>(what: impl Future<Output = T>) -> (T, u64) {
    let before = clock::now_ms();
    (what.await, clock::now_ms() - before)
}

#[tokio::test]
async fn whoever_waits_goes_past_one_that_keeps_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    for keeps in ["next", "main"] {
        let lock = std::fs::File::open(folder.path().join("nq.db-locks").join(keeps)).unwrap();
        lock.lock().unwrap();
        let (first, took) = timed(store.start(&begin(&format!("{keeps}-0")))).await;
        first.unwrap();
        assert!(took >= 300, "{keeps}: it waits for a while before it goes past: {took} ms");
        // It knows by now, and does not wait each time.
        for n in 1..20 {
            let (next, took) = timed(store.start(&begin(&format!("{keeps}-{n}")))).await;
            next.unwrap();
            assert!(took < 300, "{keeps}: {took} ms");
        }
        lock.unlock().unwrap();
    }
    assert_eq!(counts(&store, "a").await.queued, 40);
}

#[tokio::test]
async fn one_that_is_frozen_in_a_transaction_is_named_as_the_cause() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let frozen = shell(folder.path());
    frozen.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = store.start(&begin("r")).await.unwrap_err();
    assert!(error.is_retryable());
    assert!(error.to_string().contains("frozen in the middle of a transaction"), "{error}");
    frozen.execute_batch("ROLLBACK").unwrap();
    store.start(&begin("r")).await.unwrap();
}
