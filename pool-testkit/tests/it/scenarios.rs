//! Scenarios that have to fail, and files that make no sense.

use pool_testkit::conformance::{Outcome, Trial};
use pool_testkit::scenario::{self, Scenario};

use crate::conformance::Fake;

async fn play(text: &str) -> Outcome {
    let head = "rule = 'R0'\nabout = 'a try'\npool = { max_size = 1 }\n";
    let scenario = Scenario::parse("try.toml", &format!("{head}{text}"));
    let trial = Trial::<Fake>::new().await;
    scenario::run(&trial, &scenario.unwrap()).await
}

/// What a scenario fails with.
async fn failure(text: &'static str) -> String {
    let played = tokio::spawn(async move {
        let outcome = play(text).await;
        panic!("it does not fail: {outcome:?}")
    });
    let panic = played.await.unwrap_err().into_panic();
    panic.downcast_ref::<String>().unwrap().clone()
}

/// What a file is refused with.
fn refusal(text: &str) -> String {
    let head = "rule = 'R0'\nabout = 'a try'\n";
    Scenario::parse("try.toml", &format!("{head}{text}")).unwrap_err().to_string()
}

#[tokio::test(start_paused = true)]
async fn a_wrong_figure_is_told_with_file_and_step() {
    let steps = "steps = [{ acquire = 'a' }, { got = 'a' }, { expect = { in_use = 1, idle = 1 } }]";
    let text = failure(steps).await;
    assert!(text.starts_with("try.toml, step 3 (expect): `idle` is 0, not 1; of 1 "), "{text}");
    let text = failure("steps = [{ expect = { 'counts.created' = '>= 2' } }]").await;
    assert!(text.contains("step 1 (expect): `counts.created` is 0, not at least 2"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_wrong_order_is_told() {
    let steps = "steps = [{ acquire = ['a', 'b'] }, { got = 'b' }]";
    let text = failure(steps).await;
    assert!(text.starts_with("try.toml, step 2 (got b): b was refused: "), "{text}");
    let steps = "steps = [{ acquire = 'a' }, { got = 'a' }, { release = 'a' },
        { events = ['released a', 'acquired a'] }]";
    let text = failure(steps).await;
    assert!(text.contains("step 4 (events): `acquired a` has not happened in its turn"), "{text}");
    assert!(text.contains(r#"["connected", "acquired a", "released a"]"#), "{text}");
}

#[tokio::test(start_paused = true)]
async fn who_does_not_wait_or_fail_as_told_is_told() {
    let text = failure("steps = [{ acquire = 'a' }, { pending = 'a' }]").await;
    assert!(text.ends_with("step 2 (pending a): a waits no more: it got a connection"), "{text}");
    let text = failure("steps = [{ acquire = 'a' }, { fails = 'a' }]").await;
    assert!(text.ends_with("step 2 (fails a): a got a connection"), "{text}");
    let late = "steps = [{ acquire = ['a', 'b'], within = '50ms' }, { got = 'a' }, ";
    let text = failure(format!("{late} {{ fails = 'b', with = 'closed' }}]").leak()).await;
    assert!(text.contains("step 3 (fails b): it failed with timed_out, not closed: "), "{text}");
    let text = failure(format!("{late} {{ fails = 'b', after = '20ms' }}]").leak()).await;
    assert!(text.ends_with("step 3 (fails b): it took 50ms, not 20ms"), "{text}");
    let text = failure(format!("{late} {{ fails = 'b', lacks = 'in use' }}]").leak()).await;
    assert!(text.contains(r#"step 3 (fails b): the error says "in use""#), "{text}");
    let text = failure(format!("{late} {{ fails = 'b', says = 'moon' }}]").leak()).await;
    assert!(text.contains(r#"the error does not say "moon""#), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_transaction_that_is_still_open_is_told() {
    let steps = "faults = [{ op = 'reset', behaviour = 'hang' }]
        steps = [{ acquire = 'a' }, { got = 'a' }, { begin = 'a' }, { no_transaction = 'a' }]";
    let text = failure(steps).await;
    assert!(text.ends_with("step 4 (no_transaction a): a's connection is in a transaction"));
}

#[tokio::test(start_paused = true)]
async fn a_step_for_somebody_who_holds_nothing_says_what_is_missing() {
    let text = failure("steps = [{ acquire = 'a' }, { release = 'a' }]").await;
    assert!(text.contains(r#"a holds nothing: put { got = "a" } before"#), "{text}");
    let text = failure("steps = [{ acquire = 'a' }, { got = 'a' }, { cancel = 'a' }]").await;
    assert!(text.contains("a waits for nothing any more"), "{text}");
}

#[test]
fn a_bad_file_says_what_would_be_right() {
    for (text, what) in [
        ("stepz = []", "try.toml: unknown key `stepz`: did you mean `steps`?"),
        ("", "try.toml: it has no `steps`"),
        ("steps = [", "try.toml: TOML parse error at line 3"),
        ("steps = [{ aquire = 'a' }]", "step 1: unknown step `aquire`: did you mean `acquire`?"),
        ("steps = [{ moon = 'a' }]", "step 1: unknown step `moon`: want one of acquire, got, "),
        ("steps = ['moon']", "step 1: string where a table is wanted, such as { acquire = \"a\" }"),
        ("steps = [{ acquire = 'a', got = 'a' }]", "want two steps"),
        (
            "steps = [{ acquire = 'a', witin = '1s' }]",
            "step 1: unknown key beside `acquire` `witin`: did you mean `within`?",
        ),
        ("steps = [{ acquire = 1 }]", "step 1: want a name such as \"a\", or a list of names"),
        ("steps = [{ acquire = ['a', 'a'] }]", "step 1: `a` has acquired before: want a new name"),
        (
            "steps = [{ acquire = 'first' }, { got = 'frist' }]",
            "step 2: unknown name `frist`: did you mean `first`?",
        ),
        ("steps = [{ pass = 'soon' }]", "step 1: `soon`: want a duration such as"),
        ("steps = [{ pass = 5 }]", "step 1: want pass = \"200ms\""),
        ("steps = [{ suspend = false }]", "step 1: want suspend = true"),
        ("steps = [{ expect = { idel = 1 } }]", "unknown figure `idel`: did you mean `idle`?"),
        (
            "steps = [{ expect = { 'counts.ended.borken' = 1 } }]",
            "did you mean `counts.ended.broken`?",
        ),
        ("steps = [{ expect = { idle = '3' } }]", "`idle`: want a number, \"<= 3\" or \">= 3\""),
        ("steps = [{ events = ['conected'] }]", "unknown event `conected`: did you mean `connecte"),
        (
            "steps = [{ acquire = 'a' }, { fails = 'a', with = 'time_out' }]",
            "step 2: unknown kind of error `time_out`: did you mean `timed_out`?",
        ),
        ("pool = { max_sise = 1 }", "`pool`: unknown field `max_sise`: did you mean `max_size`?"),
        ("pool = { max_size = 0 }", "`pool`: invalid pool configuration: max_size is 0, must be"),
        ("steps = [{ resize = { min_size = 99 } }]", "step 1: `resize`: invalid pool configurati"),
        ("faults = [{ op = 'conect' }]", "fault 1: unknown op `conect`: did you mean `connect`?"),
        ("faults = [{ op = 'ping' }]", "fault 1: `behaviour` is missing: want \"hang\" or "),
        (
            "faults = [{ op = 'ping', behaviour = 'hangs' }]",
            "fault 1: `behaviour`: unknown variant `hangs`: did you mean `hang`?",
        ),
        (
            "faults = [{ op = 'ping', nth = 0, from = 1, behaviour = 'hang' }]",
            "fault 1: it has both `nth` and `from`: want one",
        ),
        (
            "needs = ['clsoe']\nsteps = [{ resume = true }]",
            "unknown need `clsoe`: did you mean `close`?",
        ),
    ] {
        let told = refusal(text);
        assert!(told.starts_with("try.toml") && told.contains(what), "{text}\n{told}");
    }
}
