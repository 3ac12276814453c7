//! [`Merge`]: layers of settings laid one over the other, the weakest first.
//!
//! # Sizes
//!
//! SQLAlchemy's `pool_size` is how many connections stay, `max_overflow` how many more there may
//! be: `max_idle = pool_size`, `max_size` the sum of both. Two of the three determine the third.
//! What is said of them is kept until all layers are there; then, if all three are said and do not
//! agree, what was said by the weakest layer gives way, and if that is no single one, it is an
//! error.

use std::collections::{BTreeMap, BTreeSet};

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
    /// How many layers there are so far.
    layers: usize,
    max_size: Option<Said>,
    pool_size: Option<Said>,
    max_overflow: Option<Said>,
    max_idle: Option<Said>,
}

/// A number that somebody said.
#[derive(Clone)]
struct Said {
    /// None is no limit.
    number: Option<u32>,
    source: Source,
    /// The higher, the stronger.
    layer: usize,
}

impl Merge {
    pub(crate) fn new(base: PoolConfig) -> Self {
        Self {
            config: base,
            others: BTreeMap::new(),
            sources: BTreeMap::new(),
            layers: 0,
            max_size: None,
            pool_size: None,
            max_overflow: None,
            max_idle: None,
        }
    }

    /// Notes where a setting comes from that is used elsewhere.
    pub(crate) fn note(&mut self, setting: Setting, source: Option<Source>) {
        self.sources.extend(source.map(|source| (setting, source)));
    }

    /// Lays a layer over what is there.
    pub(crate) fn lay(&mut self, layer: Layer) {
        self.layers += 1;
        for (change, source) in layer.into_changes() {
            let said = |number| Some(Said { number, source: source.clone(), layer: self.layers });
            match change {
                Change::MaxSize(number) => self.max_size = said(Some(number)),
                Change::PoolSize(number) => self.pool_size = said(Some(number)),
                Change::MaxOverflow(number) => self.max_overflow = said(Some(number)),
                Change::MaxIdle(number) => self.max_idle = said(number),
                _ => {}
            }
            change.apply(&mut self.config);
            self.sources.insert(change.setting(), source);
            if change.is_kept() {
                self.others.insert(change.setting(), change);
            }
        }
    }

    /// Makes the sizes one. To be called once, when all layers are there.
    pub(crate) fn settle_sizes(&mut self, faults: &mut Vec<SettingsFault>) {
        match self.sizes() {
            Ok(Some((max_size, max_idle))) => {
                (self.config.max_size, self.config.max_idle) = (max_size.0, Some(max_idle.0));
                // They stay, as long as they are used or not, unless something else was said.
                if self.source(Setting::IdleTimeout) == Source::Default
                    && self.config.idle_timeout == PoolConfig::default().idle_timeout
                {
                    self.config.idle_timeout = None;
                    self.sources.insert(Setting::IdleTimeout, max_idle.1.clone());
                }
                self.sources.insert(Setting::MaxSize, max_size.1);
                self.sources.insert(Setting::MaxIdle, max_idle.1);
            }
            Ok(None) => {}
            Err(fault) => faults.push(fault),
        }
        // Above the limit a limit says nothing. Go lowers it too.
        if self.config.max_idle.is_some_and(|idle| idle > self.config.max_size) {
            self.config.max_idle = Some(self.config.max_size);
            let source = self.source(Setting::MaxSize);
            self.sources.insert(Setting::MaxIdle, source);
        }
    }

    /// `max_size` and `max_idle`, if SQLAlchemy's words have to do with them.
    fn sizes(&self) -> Result<Option<(Size, Size)>, SettingsFault> {
        fn of(said: Option<&Said>) -> Option<(u32, &Said)> {
            said.and_then(|said| Some((said.number?, said)))
        }
        let mut size = of(self.pool_size.as_ref());
        let mut overflow = of(self.max_overflow.as_ref());
        let mut max = of(self.max_size.as_ref());
        if size.is_none() && overflow.is_none() {
            return Ok(None);
        }
        // The same by another name; in Go's words 0 is none that stay, in SQLAlchemy's no limit.
        let idle = of(self.max_idle.as_ref()).filter(|idle| size.is_none() && idle.0 > 0);
        size = size.or(idle);
        if let (Some(s), Some(o), Some(m)) = (size, overflow, max)
            && s.0.checked_add(o.0) != Some(m.0)
        {
            let weakest = s.1.layer.min(o.1.layer).min(m.1.layer);
            match [s, o, m].map(|said| said.1.layer == weakest) {
                [true, false, false] => size = None,
                [_, true, false] => overflow = None, // with a stronger max_size it says nothing
                [true, true, true] => return Err(disagree(s, o, m)),
                [_, _, _] => max = None,
            }
        }
        if self.pool_size.is_none() && overflow.is_none() {
            return Ok(None); // a stronger one is said in our own words
        }
        let own = |said: (u32, &Said)| (said.0, said.1.source.clone());
        let (max_size, kept) = match (size, overflow, max) {
            (Some(size), None, Some(max)) if max.0 >= size.0 || max.1.layer > size.1.layer => {
                (own(max), own(if size.0 > max.0 { max } else { size }))
            }
            (None, Some(overflow), Some(max)) if max.0 >= overflow.0 => {
                (own(max), own((max.0 - overflow.0, max.1)))
            }
            (Some(said), None, Some(max)) | (None, Some(said), Some(max)) => {
                let want = format!("want max_size at least {} ({})", said.0, said.1.source);
                let place = max.1.source.of(Setting::MaxSize);
                return Err(SettingsFault::new(place, Some(&max.0.to_string()), want));
            }
            (size, overflow, _) => {
                let stronger =
                    [size, overflow].into_iter().flatten().max_by_key(|said| said.1.layer);
                let source = stronger.map_or(Source::Default, |said| said.1.source.clone());
                let kept = size.map_or_else(|| (POOL_SIZE, source.clone()), own);
                let more = overflow.map_or_else(|| (MAX_OVERFLOW, source.clone()), own);
                let Some(sum) = kept.0.checked_add(more.0) else {
                    let want = "want a sum of pool_size and max_overflow that is a number".into();
                    return Err(SettingsFault::new(more.1, Some(&more.0.to_string()), want));
                };
                ((sum, source), kept)
            }
        };
        match &self.max_idle {
            Some(_) if idle.is_some() => Ok(Some((max_size, kept))),
            // Whoever says both says the same twice.
            Some(idle) if size.is_some_and(|size| size.1.layer == idle.layer) => {
                if idle.number == Some(kept.0) {
                    return Ok(Some((max_size, kept)));
                }
                let want = format!("want the pool_size {} ({}), or one of the two", kept.0, kept.1);
                let shown = Change::MaxIdle(idle.number).show();
                Err(SettingsFault::new(idle.source.of(Setting::MaxIdle), Some(&shown), want))
            }
            Some(idle) if size.is_none_or(|size| idle.layer > size.1.layer) => {
                let idle = (idle.number.unwrap_or(max_size.0), idle.source.clone());
                Ok(Some((max_size, idle)))
            }
            _ => Ok(Some((max_size, kept))),
        }
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

    /// What came of it. `broken` are those of which it is known that they make no sense: nobody can
    /// tell what goes together with them.
    pub(crate) fn finish(
        self,
        broken: &BTreeSet<Setting>,
        faults: &mut Vec<SettingsFault>,
    ) -> Loaded {
        let of = |name: &str| Setting::ALL.iter().copied().find(|setting| setting.name() == name);
        for fault in self.config.validate().err().iter().flat_map(|error| error.faults()) {
            let own = of(fault.field);
            let other = fault.other.and_then(of);
            if own.iter().chain(&other).any(|setting| broken.contains(setting)) {
                continue;
            }
            let mut want = format!("want {} {}", fault.field, fault.expected);
            if let Some(other) = other {
                // Both of two that do not go together are named with their places.
                want += &format!(" [{}: {}]", other.name(), self.source(other));
            }
            let place = match own {
                Some(setting) => self.source(setting).of(setting),
                None => fault.field.to_owned(),
            };
            faults.push(SettingsFault::new(place, Some(&fault.value), want));
        }
        Loaded::new(self.config, self.others, self.sources)
    }

    fn source(&self, setting: Setting) -> Source {
        self.sources.get(&setting).cloned().unwrap_or(Source::Default)
    }
}

/// A number and where it comes from.
type Size = (u32, Source);

fn disagree(size: (u32, &Said), overflow: (u32, &Said), max: (u32, &Said)) -> SettingsFault {
    let (sum, place) = (size.0.saturating_add(overflow.0), &size.1.source);
    let want = format!(
        "want max_size {sum}, pool_size {} and max_overflow {} ({place}) together, or two of the \
         three",
        size.0, overflow.0
    );
    SettingsFault::new(max.1.source.of(Setting::MaxSize), Some(&max.0.to_string()), want)
}
