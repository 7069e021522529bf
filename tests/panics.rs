//! The panic hook that names the place of a panic leaves the hook of the program in its place. In a process of its own,
//! since there is one hook for all threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use nq::{Run, RunError};

nq::registry!();

#[nq::event]
struct Go {
    how: String,
}

#[nq::worker(flow = "bold", retries = 0)]
async fn bold(go: Go) -> nq::Result<()> {
    match go.how.as_str() {
        "itself" => panic!("too bold"),
        "in a library" => drop(Vec::<u8>::new().remove(3)),
        // A panic that the worker deals with is none of its next.
        "rethrown" => {
            let quiet = std::panic::catch_unwind(|| panic!("dealt with"));
            assert!(quiet.is_err());
            tokio::task::yield_now().await;
            std::panic::resume_unwind(Box::new("from elsewhere"));
        }
        _ => {
            let panicked = tokio::task::spawn_blocking(|| panic!("in a task")).await.unwrap_err();
            std::panic::resume_unwind(panicked.into_panic());
        }
    }
    Ok(())
}

async fn error_of(run: Run) -> String {
    match run.completed().await.unwrap_err() {
        RunError::Failed { error, .. } => error,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_panic_says_where_it_was_and_reaches_the_hook_of_the_program() {
    let told = Arc::new(AtomicU32::new(0));
    let (before, count) = (std::panic::take_hook(), told.clone());
    std::panic::set_hook(Box::new(move |panic| {
        count.fetch_add(1, Ordering::SeqCst);
        before(panic);
    }));
    let nq = nq::open("memory:").await.unwrap().start().await.unwrap();
    let second = nq::open("memory:").await.unwrap().start().await.unwrap();
    for (how, says, place, hooked) in [
        ("itself", "the worker panicked: too bold", Some("tests/panics.rs:20:"), 1),
        ("in a library", "the worker panicked: removal index", Some("tests/panics.rs:21:"), 1),
        ("rethrown", "the worker panicked: from elsewhere", None, 1),
        ("in a task", "the worker panicked: in a task", None, 1),
    ] {
        told.store(0, Ordering::SeqCst);
        let error = error_of(nq.start::<bold>(Go { how: how.into() }).await.unwrap()).await;
        assert!(error.starts_with(says), "{error}");
        match place {
            Some(place) => assert!(error.contains(&format!(", at {place}")), "{error}"),
            None => assert!(!error.contains(".rs:"), "{error}"),
        }
        assert_eq!(told.load(Ordering::SeqCst), hooked, "{how}: the program's hook, and once");
    }
    nq.shutdown().await.unwrap();
    second.shutdown().await.unwrap();
}
