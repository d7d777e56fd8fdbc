//! An axis: where a value stands between its ends, and which values are named along it.

/// One axis.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    log: bool,
}

impl Axis {
    /// An axis that has room for all of these. A linear one begins at 0; on a logarithmic one what is not above 0 has no
    /// place.
    pub(super) fn around(values: impl Iterator<Item = f64>, log: bool) -> Self {
        let shown = values.filter(|value| value.is_finite() && (!log || *value > 0.0));
        let (low, high) = shown.fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)));
        let (low, high) = if low > high { (1.0, 10.0) } else { (low, high) };
        if !log {
            let high = if high > 0.0 { high } else { 1.0 };
            let step = step(high);
            return Self { low: low.min(0.0), high: (high / step).ceil() * step, log };
        }
        // To whole decades, or where there are few to the next of 1, 2 and 5.
        let round: &[f64] = if high / low > 30.0 { &[1.0, 10.0] } else { &[1.0, 2.0, 5.0, 10.0] };
        let part_of = |value: f64| (value / 10_f64.powf(value.log10().floor()), 10_f64.powf(value.log10().floor()));
        let ((from, below), (to, above)) = (part_of(low * 0.999), part_of(high * 1.001));
        let from = round.iter().rev().find(|part| **part <= from).unwrap_or(&1.0);
        let to = round.iter().find(|part| **part >= to).unwrap_or(&10.0);
        Self { low: from * below, high: to * above, log }
    }

    /// The same with room above, for what is written over the bars.
    pub(super) fn with_headroom(self) -> Self {
        let more = if self.log { (self.high / self.low).powf(0.14) } else { 1.14 };
        Self { high: self.high * more, ..self }
    }

    /// Where the axis begins.
    pub(super) fn low(&self) -> f64 {
        self.low
    }

    /// Where a value stands: 0 at the beginning, 1 at the end.
    pub(super) fn place(&self, value: f64) -> f64 {
        let at = if self.log {
            (value.max(self.low) / self.low).log10() / (self.high / self.low).log10()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        at.clamp(0.0, 1.0)
    }

    /// The values that are named along it.
    pub(super) fn ticks(&self) -> Vec<f64> {
        if !self.log {
            let step = step(self.high - self.low);
            let first = (self.low / step).ceil();
            return (0..20).map(|n| (first + f64::from(n)) * step).take_while(|tick| *tick <= self.high).collect();
        }
        let decades = (self.high / self.low).log10();
        let parts: &[f64] = if decades < 2.5 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let first = self.low.log10().floor();
        let all = (0..20).flat_map(|n| parts.iter().map(move |part| part * 10_f64.powf(first + f64::from(n))));
        all.filter(|tick| (self.low * 0.999..=self.high * 1.001).contains(tick)).collect()
    }
}

/// A round step that divides `span` into some five parts.
fn step(span: f64) -> f64 {
    let raw = span / 5.0;
    let decade = 10_f64.powf(raw.log10().floor());
    let part = raw / decade;
    decade
        * if part <= 1.0 {
            1.0
        } else if part <= 2.0 {
            2.0
        } else if part <= 5.0 {
            5.0
        } else {
            10.0
        }
}

/// A number as people write it beside an axis: 1.5M, 20k, 0.25.
pub fn short(value: f64) -> String {
    let (scaled, unit) = match value.abs() {
        size if size >= 999_500_000.0 => (value / 1e9, "G"),
        size if size >= 999_500.0 => (value / 1e6, "M"),
        size if size >= 999.5 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let digits = match scaled.abs() {
        size if size >= 99.95 || size == 0.0 => 0,
        size if size >= 9.995 => 1,
        _ => 2,
    };
    let text = format!("{scaled:.digits$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linear_axis_begins_at_nothing_and_ends_at_a_round_number() {
        let axis = Axis::around([3.0, 47.0].into_iter(), false);
        assert_eq!(axis.ticks(), [0.0, 10.0, 20.0, 30.0, 40.0, 50.0]);
        assert_eq!([0.0, 25.0, 50.0].map(|value| axis.place(value)), [0.0, 0.5, 1.0]);
    }

    #[test]
    fn a_logarithmic_axis_has_a_tick_at_every_decade() {
        let axis = Axis::around([12.0, 0.0, 90_000.0].into_iter(), true);
        let ticks: Vec<_> = axis.ticks().into_iter().map(short).collect();
        assert_eq!(ticks, ["10", "100", "1k", "10k", "100k"]);
        assert!((axis.place(1000.0) - 0.5).abs() < 1e-9);
        assert_eq!(axis.place(0.0), 0.0);
    }

    #[test]
    fn an_axis_of_nothing_or_of_one_value_is_still_one() {
        for axis in [Axis::around(std::iter::empty(), true), Axis::around([7.0].into_iter(), true)] {
            assert!(axis.place(7.0) > 0.0 && !axis.ticks().is_empty(), "{axis:?}");
        }
        assert!(!Axis::around([0.0].into_iter(), false).ticks().is_empty());
    }

    #[test]
    fn numbers_are_short() {
        for (value, text) in
            [(0.0, "0"), (0.153, "0.15"), (9.5, "9.5"), (1000.0, "1k"), (5_240_000.0, "5.24M"), (186_400.0, "186k")]
        {
            assert_eq!(short(value), text);
        }
    }
}
