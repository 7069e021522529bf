//! `?` converts every error of nq into the errors that programs use, and a handler can match on the error that a closure
//! of `ctx.run` returned.

use std::error::Error as StdError;
use std::time::Duration;

use nq::prelude::*;
use nq::store::StoreError;
use nq::{
    AnyError, EffectError, IdError, OpenError, ResultError, RunError, RunsError, StartError, StepError,
};

nq::registry!();

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
enum BankError {
    #[error("the card was declined")]
    Declined,
    #[error("the bank is away")]
    Away,
}

/// The error type of a program: an enum with a variant for each error of nq.
#[derive(Debug, thiserror::Error)]
enum AppError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    Runs(#[from] RunsError),
    #[error(transparent)]
    Result(#[from] ResultError),
    #[error(transparent)]
    Id(#[from] IdError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the step failed")]
    Step(#[from] StepError),
    #[error(transparent)]
    Effect(#[from] EffectError),
    #[error(transparent)]
    Worker(#[from] AnyError),
}

#[nq::event]
struct Order {
    how: String,
}

#[expect(clippy::unused_async, reason = "an act is async")]
async fn bank(how: &str) -> Result<u32, BankError> {
    match how {
        "declined" => Err(BankError::Declined),
        "away" => Err(BankError::Away),
        _ => Ok(7),
    }
}

#[nq::worker(retries = 1, backoff = fixed("1ms"))]
async fn pay(order: Order, ctx: Ctx<pay>) -> nq::Result<u32> {
    let how = order.how.as_str();
    if how == "fatal" {
        let fatal = || async { Err::<u32, _>(nq::Error::fatal(BankError::Declined)) };
        return Ok(ctx.run("charge card", fatal).await?);
    }
    Ok(ctx.run("charge card", || bank(how)).await?)
}

#[nq::worker(retries = 0)]
async fn pay_or_not(order: Order, ctx: Ctx<pay_or_not>) -> nq::Result<String> {
    match ctx.run("charge card", || bank(&order.how)).await {
        Ok(receipt) => Ok(format!("receipt {receipt}")),
        Err(error) => match error.downcast::<BankError>()? {
            BankError::Declined => Ok("declined".to_owned()),
            BankError::Away => Err(BankError::Away.into()),
        },
    }
}

// The whole of a program, once for each error that its functions may have.
macro_rules! program {
    ($name:ident, $error:ty) => {
        async fn $name() -> Result<u32, $error> {
            let nq = nq::open("memory:").await?.start().await?;
            nq.client_of().queues().await?;
            let run = nq.start::<pay>(Order { how: "fine".into() }).await?;
            let run = nq.run(run.id())?;
            let result = run.completed().await?.result::<u32>()?;
            nq.runs().flow("pay").page().await?;
            nq.runs().all().await?;
            run.state().await?;
            let ctx = Ctx::<pay>::for_test();
            ctx.state().set("a", &1)?;
            ctx.checkpoint().await?;
            let charged = ctx.run("charge card", || bank("fine")).await?;
            pay(Order { how: "fine".into() }, ctx).await.map_err(nq::Error::into_std)?;
            nq.shutdown().await?;
            assert_eq!(result, Some(charged));
            Ok(charged)
        }
    };
}
program!(with_nq, nq::Error);
program!(with_anyhow, anyhow::Error);
program!(with_box, Box<dyn StdError>);
program!(with_box_send, Box<dyn StdError + Send + Sync>);
program!(with_enum, AppError);

trait ClientOf {
    fn client_of(&self) -> &nq::Client;
}
impl ClientOf for nq::Nq {
    fn client_of(&self) -> &nq::Client {
        self
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_error_converts_into_those_of_programs() {
    assert_eq!(with_nq().await.unwrap(), 7);
    assert_eq!(with_anyhow().await.unwrap(), 7);
    assert_eq!(with_box().await.unwrap(), 7);
    assert_eq!(with_box_send().await.unwrap(), 7);
    assert_eq!(with_enum().await.unwrap(), 7);
}

#[test]
fn an_error_of_a_worker_goes_into_boxes_and_comes_back() {
    fn worker() -> nq::Result<()> {
        Err(nq::Error::fatal(BankError::Declined))
    }
    fn boxed() -> Result<(), Box<dyn StdError>> {
        Ok(worker()?)
    }
    fn boxed_send() -> Result<(), Box<dyn StdError + Send>> {
        Ok(worker()?)
    }
    fn boxed_send_sync() -> Result<(), nq::BoxError> {
        Ok(worker()?)
    }
    fn anyhowed() -> anyhow::Result<()> {
        Ok(worker().map_err(nq::Error::into_std)?)
    }
    for text in [
        boxed().unwrap_err().to_string(),
        boxed_send().unwrap_err().to_string(),
        boxed_send_sync().unwrap_err().to_string(),
        anyhowed().unwrap_err().to_string(),
    ] {
        assert_eq!(text, "the card was declined");
    }
    let again = nq::Error::fatal(boxed_send_sync().unwrap_err());
    assert_eq!(again.downcast::<BankError>().unwrap(), BankError::Declined);
    let again: nq::BoxError = anyhowed().unwrap_err().into();
    let again = nq::Error::retry_after(again, Duration::from_secs(1));
    assert!(again.is_fatal(), "{again:?}");
}

#[test]
fn an_error_that_is_of_another_type_stays_what_it_was() {
    let error = nq::Error::retry_after(BankError::Away, Duration::from_secs(3));
    assert!(error.downcast_ref::<std::fmt::Error>().is_none());
    let error = error.downcast::<std::fmt::Error>().unwrap_err();
    assert_eq!(error.retry_delay(), Some(Duration::from_secs(3)));
    assert_eq!(error.downcast_ref(), Some(&BankError::Away));
    assert_eq!(error.report(), "the bank is away");
    assert_eq!(error.downcast::<BankError>().unwrap(), BankError::Away);
}

/// The error that `ctx.run` returns if its closure fails with this error.
async fn failed<E: Into<nq::BoxError>>(error: E) -> EffectError {
    let act = || async { Err::<u32, E>(error) };
    Ctx::<pay>::for_test().run("charge card", act).await.unwrap_err()
}

#[tokio::test]
async fn an_effect_gives_the_error_of_its_closure_back() {
    let declined = BankError::Declined;
    for error in [
        failed(declined.clone()).await,
        failed(nq::Error::from(declined.clone())).await,
        failed(nq::Error::fatal(declined.clone())).await,
        failed(nq::Error::retry_after(declined.clone(), Duration::from_secs(1))).await,
        failed(nq::Error::fatal(declined.clone()).into_std()).await,
        failed(nq::BoxError::from(declined.clone())).await,
        failed(nq::Error::from(failed(declined.clone()).await)).await,
    ] {
        assert_eq!(error.to_string(), "the act of `ctx.run(\"charge card\")` failed");
        assert!(error.is_from_act() && error.refusal().is_none() && error.effect() == "charge card");
        assert_eq!(error.downcast_ref(), Some(&declined));
        assert!(error.downcast_ref::<StepError>().is_none());
        let error = error.downcast::<StepError>().unwrap_err();
        let error = nq::Error::from(error);
        assert_eq!(error.downcast_ref(), Some(&declined));
        assert!(
            error.report().ends_with("the act of `ctx.run(\"charge card\")` failed: the card was declined"),
            "{error:?}"
        );
        assert_eq!(error.report().matches("declined").count(), 1);
        assert_eq!(error.downcast::<BankError>().unwrap(), declined);
    }
    let error = failed(anyhow::Error::from(declined.clone()).context("at the till")).await;
    assert_eq!(error.downcast_ref(), Some(&declined));
    let report = nq::Error::from(error).report();
    assert_eq!(report, "the act of `ctx.run(\"charge card\")` failed: at the till: the card was declined");
    for error in
        [failed("a text").await, failed("a text".to_owned()).await, failed(anyhow::anyhow!("a text")).await]
    {
        assert_eq!(nq::Error::from(error).report(), "the act of `ctx.run(\"charge card\")` failed: a text");
    }
}

#[tokio::test]
async fn what_the_closure_says_about_retries_is_found_again() {
    let delay = Duration::from_secs(9);
    let fatal = || nq::Error::fatal(BankError::Declined);
    let later = || nq::Error::retry_after(BankError::Away, delay);
    let again = nq::Error::from;
    for error in [
        failed(fatal()).await,
        failed(nq::BoxError::from(fatal())).await,
        failed(fatal().into_std()).await,
        failed(anyhow::Error::from(fatal().into_std())).await,
        failed(anyhow::Error::from(fatal().into_std()).context("at the till")).await,
        failed(AppError::from(fatal().into_std())).await,
    ] {
        assert!(again(error).is_fatal());
    }
    for error in [failed(later()).await, failed(anyhow::Error::from(later().into_std())).await] {
        let error = again(error);
        assert_eq!(error.retry_delay(), Some(delay));
        assert!(!error.is_fatal());
    }
}

#[tokio::test]
async fn a_refusal_of_nq_is_told_from_an_error_of_the_closure() {
    let ctx = Ctx::<pay>::for_test();
    let large = ctx.run("fetch", || async { nq::Ok("x".repeat(2 << 20)) }).await.unwrap_err();
    assert!(matches!(large.refusal(), Some(StepError::Unrecorded { .. })), "{large:?}");
    assert!(!large.is_from_act());
    assert!(matches!(large.downcast_ref(), Some(StepError::Unrecorded { .. })));
    let error = nq::Error::from(large);
    assert!(error.is_fatal(), "another attempt would do the act again");
    let report = error.report();
    assert!(report.starts_with("`ctx.run(\"fetch\")` was refused: "), "{report}");
    assert!(report.contains("the result of `ctx.run(\"fetch\")` has 2097154 bytes"), "{report}");
    // A closure may itself return such an error.
    let error = ctx.state().set("big", &"x".repeat(2 << 20)).unwrap_err();
    let error = failed(error).await;
    assert!(error.is_from_act() && error.refusal().is_none());
    assert!(matches!(error.downcast_ref(), Some(StepError::TooLarge { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_reports_the_effect_and_its_error_once() {
    let nq = nq::open("memory:").await.unwrap().start().await.unwrap();
    let error_of = async |how: &str| {
        let run = nq.start::<pay>(Order { how: how.into() }).await.unwrap();
        let error = run.completed().await.unwrap_err().to_string();
        let attempts = run.entries(vec![nq::EntryType::StepStarted]).await.unwrap().len();
        (error.split_once("step `pay`: ").unwrap().1.to_owned(), attempts)
    };
    assert_eq!(
        error_of("declined").await,
        ("the act of `ctx.run(\"charge card\")` failed: the card was declined".into(), 2)
    );
    assert_eq!(
        error_of("fatal").await,
        ("the act of `ctx.run(\"charge card\")` failed: the card was declined".into(), 1)
    );
    let run = nq.start::<pay_or_not>(Order { how: "declined".into() }).await.unwrap();
    assert_eq!(run.completed().await.unwrap().result::<String>().unwrap().unwrap(), "declined");
    let run = nq.start::<pay_or_not>(Order { how: "away".into() }).await.unwrap();
    assert!(run.completed().await.unwrap_err().to_string().ends_with("`pay_or_not`: the bank is away"));
    nq.shutdown().await.unwrap();
}
