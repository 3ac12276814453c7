//! Reading a scenario: every word is checked, and an error says what would be right.

use std::time::Duration;

use pool_core::{ErrorClass, PoolConfig};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::words::{self, known};
use super::{Do, Expected, Failure, Fault, Name, Relation, Scenario, ScenarioError, Step, Which};
use crate::conformance::Feature;
use crate::{Behaviour, Op};

pub(super) fn parse(file: &str, text: &str) -> Result<Scenario, ScenarioError> {
    let error = |step: Option<usize>| {
        move |what: String| ScenarioError { file: file.to_owned(), step, what }
    };
    let wrong = error(None);
    let mut table: Table = text.parse().map_err(|e: toml::de::Error| wrong(e.to_string()))?;
    keys("key", &table, words::FILE).map_err(&wrong)?;
    let rule = required(&mut table, "rule", "the rule it shows, such as \"R2\"").map_err(&wrong)?;
    let about = required(&mut table, "about", "a sentence").map_err(&wrong)?;
    let settings: Table = optional(&mut table, "pool").map_err(&wrong)?.unwrap_or_default();
    let set = settings.keys().cloned().collect();
    let config = pool_config("pool", Value::Table(settings)).map_err(&wrong)?;
    let mut faults = Vec::new();
    for (n, fault) in list(&mut table, "faults").map_err(&wrong)?.into_iter().enumerate() {
        let numbered = |what| format!("fault {}: {what}", n + 1);
        faults.push(parse_fault(fault).map_err(numbered).map_err(&wrong)?);
    }
    let mut steps = Vec::new();
    let mut named: Vec<Name> = Vec::new();
    for (n, step) in list(&mut table, "steps").map_err(&wrong)?.into_iter().enumerate() {
        steps.push(parse_step(step, &mut named).map_err(error(Some(n + 1)))?);
    }
    if steps.is_empty() {
        return Err(wrong("it has no `steps`".into()));
    }
    let (mut needs, mut managed) = (Vec::new(), false);
    for need in optional::<Vec<String>>(&mut table, "needs").map_err(&wrong)?.unwrap_or_default() {
        let names = words::FEATURES.iter().map(|(name, _)| *name);
        known("need", &need, names.chain(["managed"])).map_err(&wrong)?;
        managed |= need == "managed";
        let feature = words::FEATURES.iter().find(|(name, _)| *name == need);
        needs.extend(feature.map(|(_, feature)| *feature));
    }
    for step in &steps {
        needs.extend(feature(&step.what));
        managed |= is_control(&step.what);
    }
    let file = file.to_owned();
    Ok(Scenario { file, rule, about, config, set, needs, managed, faults, steps })
}

/// What a pool of another make must have for a step.
fn feature(what: &Do) -> Vec<Feature> {
    match what {
        Do::Acquire { within: Some(_), .. } => vec![Feature::TimeoutPerAcquire],
        Do::Fails { how: Failure { kind: Some(kind), .. }, .. } if kind == "timed_out" => {
            vec![Feature::AcquireTimeout]
        }
        Do::Invalidate(_) => vec![Feature::Invalidate],
        Do::Close(_) => vec![Feature::Close],
        Do::Expect(expected) if expected.iter().any(|e| e.key.starts_with("counts.")) => {
            vec![Feature::Counts]
        }
        _ => vec![],
    }
}

/// Whether only our own pool can do this.
fn is_control(what: &Do) -> bool {
    matches!(what, Do::Resize(_) | Do::Suspend | Do::Resume | Do::InvalidateAll | Do::Events(_))
}

fn parse_fault(fault: Value) -> Result<Fault, String> {
    let mut fault = table(fault, "{ op = \"connect\", nth = 0, behaviour = \"hang\" }")?;
    keys("key", &fault, words::FAULT)?;
    let op: String = required(&mut fault, "op", "an operation of the manager")?;
    let names: Vec<String> = Op::ALL.iter().map(|op| words::op_name(*op)).collect();
    known("op", &op, names.iter().map(String::as_str))?;
    let op = Op::ALL.into_iter().find(|known| words::op_name(*known) == op).expect("known");
    let (nth, from) = (optional(&mut fault, "nth")?, optional(&mut fault, "from")?);
    let which = match (nth, from) {
        (Some(_), Some(_)) => return Err("it has both `nth` and `from`: want one".into()),
        (Some(nth), None) => Which::Nth(nth),
        (None, Some(from)) => Which::From(from),
        (None, None) => Which::All,
    };
    let written: Written = required(&mut fault, "behaviour", "\"hang\" or { slow = \"50ms\" }")?;
    let behaviour = match written {
        Written::Ok => Behaviour::Ok,
        Written::Hang => Behaviour::Hang,
        Written::Panic => Behaviour::Panic,
        Written::Slow(time) => Behaviour::Slow(duration(&time)?),
        Written::Fail(class) => Behaviour::Fail(class.into()),
        Written::FailAfter(time, class) => Behaviour::FailAfter(duration(&time)?, class.into()),
    };
    Ok(Fault { op, which, behaviour })
}

/// A behaviour as it is written.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Written {
    Ok,
    Slow(String),
    Fail(Class),
    FailAfter(String, Class),
    Hang,
    Panic,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Class {
    Permanent,
    Saturated,
    Transient,
}

impl From<Class> for ErrorClass {
    fn from(class: Class) -> Self {
        match class {
            Class::Permanent => Self::Permanent,
            Class::Saturated => Self::Saturated,
            Class::Transient => Self::Transient,
        }
    }
}

fn parse_step(step: Value, named: &mut Vec<Name>) -> Result<Step, String> {
    let mut step = table(step, "{ acquire = \"a\" }")?;
    let is_step = |key: &&String| words::STEPS.iter().any(|(step, _)| step == *key);
    let verbs: Vec<String> = step.keys().filter(is_step).cloned().collect();
    let [verb] = &verbs[..] else {
        if let Some(second) = verbs.get(1) {
            return Err(format!("`{}` and `{second}` in one step: want two steps", verbs[0]));
        }
        let first = step.keys().next().ok_or("it is empty: want { acquire = \"a\" } or another")?;
        known("step", first, words::STEPS.iter().map(|(step, _)| *step))?;
        return Err("no step".into());
    };
    let (_, beside) = words::STEPS.iter().find(|(step, _)| step == verb).expect("looked for above");
    for key in step.keys().filter(|key| *key != verb) {
        let also: Vec<&str> = beside.iter().chain([&verb.as_str()]).copied().collect();
        known(&format!("key beside `{verb}`"), key, also)?;
    }
    let written = step.remove(verb).expect("it is there");
    let mut text = verb.clone();
    let mut names = |new: bool| -> Result<Vec<Name>, String> {
        let names = names(written.clone())?;
        text = format!("{verb} {}", names.join(", "));
        names.into_iter().map(|name| lookup(name, new, named)).collect()
    };
    let what = match verb.as_str() {
        "acquire" => {
            let within: Option<String> = optional(&mut step, "within")?;
            let within = within.map(|text| match text.as_str() {
                "none" => Ok(None),
                text => duration(text).map(Some),
            });
            Do::Acquire { names: names(true)?, within: within.transpose()? }
        }
        "got" => Do::Got { names: names(false)?, after: optional_duration(&mut step, "after")? },
        "pending" => Do::Pending(names(false)?),
        "fails" => Do::Fails { names: names(false)?, how: failure(&mut step)? },
        "cancel" => Do::Cancel(names(false)?),
        "release" => Do::Release(names(false)?),
        "invalidate" => Do::Invalidate(names(false)?),
        "break_connection" => Do::BreakConnection(names(false)?),
        "begin" => Do::Begin(names(false)?),
        "no_transaction" => Do::NoTransaction(names(false)?),
        "resize" => Do::Resize(pool_config("resize", written)?),
        "suspend" => yes(verb, &written, Do::Suspend)?,
        "resume" => yes(verb, &written, Do::Resume)?,
        "invalidate_all" => yes(verb, &written, Do::InvalidateAll)?,
        "heal" => yes(verb, &written, Do::Heal)?,
        "close" => Do::Close(written_duration(verb, &written)?),
        "pass" => Do::Pass(written_duration(verb, &written)?),
        "closed" => {
            let mut closed = table(written, "{ abandoned = 0 }")?;
            keys("key in `closed`", &closed, &["abandoned"])?;
            Do::Closed { abandoned: required(&mut closed, "abandoned", "how many")? }
        }
        "expect" => Do::Expect(expectations(table(written, "{ idle = 1 }")?)?),
        _ => {
            let events: Vec<String> = convert("events", written)?;
            for event in &events {
                let first = event.split(' ').next().unwrap_or_default();
                known("event", first, words::EVENTS.iter().copied())?;
            }
            Do::Events(events)
        }
    };
    Ok(Step { text, what })
}

fn names(written: Value) -> Result<Vec<String>, String> {
    match written {
        Value::String(name) => Ok(vec![name]),
        list => convert("a name", list)
            .map_err(|_| "want a name such as \"a\", or a list of names".to_owned()),
    }
}

fn lookup(name: String, new: bool, named: &mut Vec<Name>) -> Result<Name, String> {
    let found = named.iter().copied().find(|known| **known == name);
    match found {
        Some(_) if new => Err(format!("`{name}` has acquired before: want a new name")),
        Some(name) => Ok(name),
        None if new => {
            named.push(name.leak());
            Ok(named[named.len() - 1])
        }
        None => Err(known("name", &name, named.iter().copied()).unwrap_err()),
    }
}

fn failure(step: &mut Table) -> Result<Failure, String> {
    let kind: Option<String> = optional(step, "with")?;
    if let Some(kind) = &kind {
        known("kind of error", kind, words::KINDS.iter().map(|kind| kind.as_str()))?;
    }
    let mut texts = |key| step.remove(key).map_or_else(|| Ok(Vec::new()), names);
    let (says, lacks) = (texts("says")?, texts("lacks")?);
    Ok(Failure { kind, says, lacks, after: optional_duration(step, "after")? })
}

fn expectations(figures: Table) -> Result<Vec<Expected>, String> {
    let all = words::figures();
    let mut expected = Vec::new();
    for (key, value) in figures {
        known("figure", &key, all.iter().map(String::as_str))?;
        let wanted = || format!("`{key}`: want a number, \"<= 3\" or \">= 3\"");
        let (relation, value) = match value {
            Value::Integer(value) => (Relation::Exactly, value),
            Value::String(text) => {
                let at_most = text.strip_prefix("<=").map(|number| (Relation::AtMost, number));
                let at_least = text.strip_prefix(">=").map(|number| (Relation::AtLeast, number));
                let (relation, number) = at_most.or(at_least).ok_or_else(wanted)?;
                (relation, number.trim().parse().map_err(|_| wanted())?)
            }
            _ => return Err(wanted()),
        };
        expected.push(Expected { key, relation, value });
    }
    Ok(expected)
}

fn pool_config(key: &str, written: Value) -> Result<PoolConfig, String> {
    let config: PoolConfig = convert(key, written)?;
    config.validate().map_err(|error| format!("`{key}`: {error}"))?;
    Ok(config)
}

fn yes(verb: &str, written: &Value, what: Do) -> Result<Do, String> {
    match written {
        Value::Boolean(true) => Ok(what),
        _ => Err(format!("want {verb} = true")),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    pool_core::duration::parse(text).map_err(|error| format!("`{text}`: {error}"))
}

fn written_duration(key: &str, written: &Value) -> Result<Duration, String> {
    duration(written.as_str().ok_or_else(|| format!("want {key} = \"200ms\""))?)
}

fn optional_duration(table: &mut Table, key: &str) -> Result<Option<Duration>, String> {
    table.remove(key).map(|written| written_duration(key, &written)).transpose()
}

fn keys(what: &str, table: &Table, all: &[&str]) -> Result<(), String> {
    table.keys().try_for_each(|key| known(what, key, all.iter().copied()))
}

fn table(value: Value, such_as: &str) -> Result<Table, String> {
    match value {
        Value::Table(table) => Ok(table),
        other => Err(format!("{} where a table is wanted, such as {such_as}", other.type_str())),
    }
}

fn list(table: &mut Table, key: &str) -> Result<Vec<Value>, String> {
    Ok(optional(table, key)?.unwrap_or_default())
}

fn optional<T: DeserializeOwned>(table: &mut Table, key: &str) -> Result<Option<T>, String> {
    table.remove(key).map(|value| convert(key, value)).transpose()
}

fn required<T: DeserializeOwned>(table: &mut Table, key: &str, what: &str) -> Result<T, String> {
    optional(table, key)?.ok_or_else(|| format!("`{key}` is missing: want {what}"))
}

fn convert<T: DeserializeOwned>(key: &str, value: Value) -> Result<T, String> {
    value.try_into().map_err(|error: toml::de::Error| {
        // "unknown field `x`, expected one of `a`, `b`"
        let message = error.message();
        let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
        let word = message.strip_prefix("unknown ").and_then(|rest| rest.split(' ').next());
        let nearest = match (word, &quoted[..]) {
            (Some(word), [wrong, right @ ..]) => known(word, wrong, right.iter().copied()).err(),
            _ => None,
        };
        format!("`{key}`: {}", nearest.as_deref().unwrap_or(message))
    })
}
