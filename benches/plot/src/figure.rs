//! A figure as SVG: lines over numbers, or bars over names. It brings its own background, light or dark as the reader has it.

use std::fmt::Write;

use crate::axis::{Axis, short};

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 480.0;
const LEFT: f64 = 78.0;
const RIGHT: f64 = 24.0;
const BOTTOM: f64 = 62.0;
/// What a row of the legend takes, and how wide a letter is at most.
const ROW: f64 = 18.0;
const LETTER: f64 = 7.2;
/// Told apart by most people, on white and on black.
const COLOURS: [&str; 9] =
    ["#0b77c2", "#4fb3ef", "#1fa3a3", "#d9480f", "#e8890c", "#a3333d", "#d4629b", "#7a8b1f", "#8d8d8d"];

/// What is drawn.
#[derive(Debug, Default)]
pub struct Figure {
    /// Above it.
    pub title: String,
    /// What the x are.
    pub x: String,
    /// What the y are.
    pub y: String,
    /// x grows by factors.
    pub log_x: bool,
    /// y grows by factors.
    pub log_y: bool,
    /// What is drawn in it.
    pub series: Vec<Series>,
}

/// One line, or the bars of one colour.
#[derive(Debug, Default)]
pub struct Series {
    /// In the legend.
    pub name: String,
    /// Which of the colours; they repeat.
    pub colour: usize,
    /// x as it is written, and y.
    pub points: Vec<(String, f64)>,
}

impl Series {
    fn colour(&self) -> &'static str {
        COLOURS[self.colour % COLOURS.len()]
    }
}

/// Where the axes lie.
struct Frame {
    top: f64,
    y: Axis,
}

impl Frame {
    fn y_of(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - self.y.place(value) * (HEIGHT - BOTTOM - self.top)
    }

    fn x_of(place: f64) -> f64 {
        LEFT + place * (WIDTH - LEFT - RIGHT)
    }
}

impl Figure {
    /// The figure. Bars if an x is no number.
    pub fn svg(&self) -> String {
        let all = || self.series.iter().flat_map(|series| &series.points);
        let numbers: Option<Vec<f64>> = all().map(|(x, _)| x.parse().ok()).collect();
        let values = all().map(|(_, y)| *y);
        let (legend, rows) = self.legend();
        let y = Axis::around(values, self.log_y);
        let y = if numbers.is_none() { y.with_headroom() } else { y };
        let frame = Frame { top: 46.0 + ROW * rows, y };
        let mut out = head(&self.title);
        out += &legend;
        for tick in frame.y.ticks() {
            let at = frame.y_of(tick);
            line(&mut out, "grid", (LEFT, at), (WIDTH - RIGHT, at));
            text(&mut out, "tick", (LEFT - 8.0, at + 4.0), "end", &short(tick));
        }
        match numbers {
            Some(numbers) => self.lines(&frame, &numbers, &mut out),
            None => self.bars(&frame, &mut out),
        }
        let base = HEIGHT - BOTTOM;
        line(&mut out, "axis", (LEFT, base), (WIDTH - RIGHT, base));
        text(&mut out, "label", (Frame::x_of(0.5), HEIGHT - 14.0), "middle", &self.x);
        let middle = f64::midpoint(frame.top, base);
        let label = escaped(&self.y);
        let _ = writeln!(
            out,
            r#"<text class="label" text-anchor="middle" transform="translate(18 {middle:.1}) rotate(-90)">{label}</text>"#
        );
        out + "</svg>\n"
    }

    /// The names with their colours, and how many rows they take.
    fn legend(&self) -> (String, f64) {
        let (mut out, mut at, mut row) = (String::new(), LEFT, 0.0);
        for series in &self.series {
            let width = 26.0 + LETTER * series.name.chars().map(|_| 1.0).sum::<f64>();
            if at + width > WIDTH - RIGHT && at > LEFT {
                (at, row) = (LEFT, row + 1.0);
            }
            let y = 46.0 + ROW * row;
            let colour = series.colour();
            let _ = writeln!(
                out,
                r#"<rect x="{at:.1}" y="{:.1}" width="12" height="12" rx="2" fill="{colour}"/>"#,
                y - 10.0
            );
            text(&mut out, "name", (at + 17.0, y), "start", &series.name);
            at += width;
        }
        (out, row + 1.0)
    }

    fn lines(&self, frame: &Frame, numbers: &[f64], out: &mut String) {
        let axis = Axis::around(numbers.iter().copied(), self.log_x);
        for tick in axis.ticks() {
            let at = Frame::x_of(axis.place(tick));
            line(out, "grid", (at, frame.top), (at, HEIGHT - BOTTOM));
            text(out, "tick", (at, HEIGHT - BOTTOM + 18.0), "middle", &short(tick));
        }
        for series in &self.series {
            let mut points: Vec<(f64, f64)> =
                series.points.iter().filter_map(|(x, y)| Some((x.parse().ok()?, *y))).collect();
            points.sort_by(|one, other| one.0.total_cmp(&other.0));
            let places: Vec<_> = points.iter().map(|(x, y)| (Frame::x_of(axis.place(*x)), frame.y_of(*y))).collect();
            let path: Vec<_> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
            let colour = series.colour();
            let _ = writeln!(
                out,
                r#"<polyline points="{}" fill="none" stroke="{colour}" stroke-width="2"/>"#,
                path.join(" ")
            );
            for ((x, y), (at_x, at_y)) in points.iter().zip(places) {
                let told = escaped(&format!("{}: {} at {}", series.name, short(*y), short(*x)));
                let _ = writeln!(
                    out,
                    r#"<circle cx="{at_x:.1}" cy="{at_y:.1}" r="3.5" fill="{colour}"><title>{told}</title></circle>"#
                );
            }
        }
    }

    fn bars(&self, frame: &Frame, out: &mut String) {
        let mut groups: Vec<&str> = Vec::new();
        for (x, _) in self.series.iter().flat_map(|series| &series.points) {
            if !groups.contains(&x.as_str()) {
                groups.push(x);
            }
        }
        // Only those that have something there take room in a group, so that no gaps suggest a zero.
        let of = |group: &str| -> Vec<(&Series, f64)> {
            let there = |series: &'_ Series| series.points.iter().find(|(x, _)| x == group).map(|(_, y)| *y);
            self.series.iter().filter_map(|series| Some((series, there(series)?))).collect()
        };
        let slots: usize = groups.iter().map(|group| of(group).len() + 1).sum();
        let slot = (WIDTH - LEFT - RIGHT) / slots.max(1).to_string().parse::<f64>().unwrap_or(1.0);
        let (mut at, base) = (LEFT, HEIGHT - BOTTOM);
        for group in &groups {
            let begun = at + slot / 2.0;
            at = begun;
            for (series, value) in of(group) {
                let top = frame.y_of(value.max(frame.y.low()));
                let told = escaped(&format!("{}, {group}: {}", series.name, short(value)));
                let width = (slot * 0.86).min(46.0);
                let x = at + (slot - width) / 2.0;
                let colour = series.colour();
                let _ = writeln!(
                    out,
                    r#"<rect x="{x:.1}" y="{top:.1}" width="{width:.1}" height="{:.1}" fill="{colour}"><title>{told}</title></rect>"#,
                    (base - top).max(1.0)
                );
                let middle = at + slot / 2.0;
                if slot > 34.0 {
                    text(out, "value", (middle, top - 5.0), "middle", &short(value));
                } else {
                    let (x, y, value) = (middle + 3.5, top - 5.0, short(value));
                    let _ = writeln!(
                        out,
                        r#"<text class="value" transform="translate({x:.1} {y:.1}) rotate(-90)">{value}</text>"#
                    );
                }
                at += slot;
            }
            text(out, "tick", (f64::midpoint(begun, at), base + 18.0), "middle", group);
            at += slot / 2.0;
        }
    }
}

fn head(title: &str) -> String {
    let mut out = format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="system-ui, sans-serif">
<style>
.paper {{ fill: #ffffff }} .title, .name, .value {{ fill: #1c2024 }} .tick, .label {{ fill: #4a5058 }}
.grid {{ stroke: #dfe3e8 }} .axis {{ stroke: #4a5058 }}
.title {{ font-size: 16px; font-weight: 600 }} .name, .label {{ font-size: 13px }} .tick {{ font-size: 12px }} .value {{ font-size: 11px }}
@media (prefers-color-scheme: dark) {{
.paper {{ fill: #14171b }} .title, .name, .value {{ fill: #e8eaed }} .tick, .label {{ fill: #aab1ba }}
.grid {{ stroke: #2d333b }} .axis {{ stroke: #aab1ba }}
}}
</style>
<rect class="paper" width="{WIDTH}" height="{HEIGHT}" rx="8"/>
"#
    );
    text(&mut out, "title", (LEFT, 24.0), "start", title);
    out
}

fn line(out: &mut String, class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
    let _ = writeln!(out, r#"<line class="{class}" x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}"/>"#);
}

fn text(out: &mut String, class: &str, (x, y): (f64, f64), anchor: &str, text: &str) {
    let text = escaped(text);
    let _ = writeln!(out, r#"<text class="{class}" x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{text}</text>"#);
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
