//! [`Merge`]: layers of settings laid one over the other, and SQLAlchemy's two sizes made ours.
//!
//! `pool_size` is how many connections stay, `max_overflow` how many more there may be: `max_idle =
//! pool_size`, `max_size` the sum. Either may come from another layer than the other, so they are
//! kept apart until a layer is complete; of the three numbers two determine the third.

use std::collections::BTreeMap;

use pool_core::PoolConfig;

use crate::error::SettingsFault;
use crate::layer::Layer;
use crate::loaded::Loaded;
use crate::setting::{Change, Setting};
use crate::source::Source;

/// What SQLAlchemy has if nothing is said (`QueuePool`).
const POOL_SIZE: u32 = 5;
const MAX_OVERFLOW: u32 = 10;

pub(crate) struct Merge {
    config: PoolConfig,
    others: BTreeMap<Setting, Change>,
    sources: BTreeMap<Setting, Source>,
    /// The last said `pool_size` and `max_overflow`, while they still hold.
    size: Option<u32>,
    overflow: Option<u32>,
    faults: Vec<SettingsFault>,
}

impl Merge {
    pub(crate) fn new(base: PoolConfig) -> Self {
        Self {
            config: base,
            others: BTreeMap::new(),
            sources: BTreeMap::new(),
            size: None,
            overflow: None,
            faults: Vec::new(),
        }
    }

    /// Lays a layer over what is there.
    pub(crate) fn lay(&mut self, mut layer: Layer) {
        let number = |layer: &mut Layer, setting| match layer.take(setting) {
            Some((Change::PoolSize(number) | Change::MaxOverflow(number), source)) => {
                Some((number, source))
            }
            _ => None,
        };
        let size = number(&mut layer, Setting::PoolSize);
        let overflow = number(&mut layer, Setting::MaxOverflow);
        let (mut max_size, mut max_idle) = (None, None);
        for (change, source) in layer.into_changes() {
            match change {
                Change::MaxSize(number) => max_size = Some((number, source.clone())),
                Change::MaxIdle(number) => max_idle = Some((number, source.clone())),
                _ => {}
            }
            change.apply(&mut self.config);
            self.sources.insert(change.setting(), source);
            self.others.insert(change.setting(), change);
        }
        match (size, overflow) {
            (None, None) if max_size.is_some() => (self.size, self.overflow) = (None, None),
            (None, None) => {}
            (size, overflow) => self.lay_sizes(size, overflow, max_size, max_idle),
        }
    }

    fn lay_sizes(
        &mut self,
        size: Option<(u32, Source)>,
        overflow: Option<(u32, Source)>,
        max_size: Option<(u32, Source)>,
        max_idle: Option<(Option<u32>, Source)>,
    ) {
        let source = |of: &Option<(u32, Source)>| of.as_ref().map(|(_, source)| source.clone());
        let Some(place) = source(&size).or_else(|| source(&overflow)) else { return };
        let max = max_size.as_ref().map(|(max, _)| *max);
        let value = |of: Option<(u32, Source)>| of.map(|(value, _)| value);
        let (size, overflow) = match (value(size), value(overflow), max) {
            (Some(size), None, Some(max)) if max >= size => (size, max - size),
            (None, Some(overflow), Some(max)) if max >= overflow => (max - overflow, overflow),
            (size, overflow, _) => (
                size.or(self.size).unwrap_or(POOL_SIZE),
                overflow.or(self.overflow).unwrap_or(MAX_OVERFLOW),
            ),
        };
        let sum = size.saturating_add(overflow);
        if let Some((max, other)) = max_size
            && max != sum
        {
            let want = format!(
                "want max_size {sum}, pool_size {size} and max_overflow {overflow} ({place}) \
                 together, or only one way to say it"
            );
            self.faults.push(SettingsFault::new(other, Some(&max.to_string()), want));
        }
        if let Some((idle, other)) = max_idle
            && idle != Some(size)
        {
            let want = format!("want the pool_size {size} ({place}), or only one way to say it");
            let idle = Change::MaxIdle(idle).show();
            self.faults.push(SettingsFault::new(other, Some(&idle), want));
        }
        (self.size, self.overflow) = (Some(size), Some(overflow));
        (self.config.max_idle, self.config.max_size) = (Some(size), sum);
        self.sources.insert(Setting::MaxIdle, place.clone());
        self.sources.insert(Setting::MaxSize, place);
    }

    /// Lets the program change what there is.
    pub(crate) fn change(&mut self, change: Box<dyn FnOnce(PoolConfig) -> PoolConfig>) {
        let before = Change::all_of(&self.config);
        self.config = change(self.config.clone());
        for (was, is) in before.iter().zip(Change::all_of(&self.config)) {
            if *was != is {
                self.sources.insert(is.setting(), Source::Code);
            }
        }
    }

    /// What came of it.
    pub(crate) fn finish(mut self, faults: &mut Vec<SettingsFault>) -> Loaded {
        // A limit above the limit says nothing. Go lowers it too.
        self.config.max_idle = self.config.max_idle.map(|idle| idle.min(self.config.max_size));
        faults.append(&mut self.faults);
        let of = |name: &str| Setting::ALL.iter().copied().find(|setting| setting.name() == name);
        let source = |setting| self.sources.get(&setting).cloned().unwrap_or(Source::Default);
        for fault in self.config.validate().err().iter().flat_map(|error| error.faults()) {
            // Both of two that do not go together are named with their places.
            let others = Setting::ALL.iter().filter(|other| {
                let mut words = fault.expected.split(|c: char| c != '_' && !c.is_alphanumeric());
                words.any(|word| word == other.name())
            });
            let others: Vec<_> =
                others.map(|other| format!("{}: {}", other.name(), source(*other))).collect();
            let mut want = format!("want {} {}", fault.field, fault.expected);
            if !others.is_empty() {
                want += &format!(" [{}]", others.join(", "));
            }
            let place = match of(fault.field) {
                Some(setting) => source(setting).of(setting),
                None => fault.field.to_owned(),
            };
            faults.push(SettingsFault::new(place, Some(&fault.value), want));
        }
        Loaded::new(self.config, self.others, self.sources)
    }
}
