//! How does throughput grow with the number of callers? Lines of `bench order5 --json` from standard
//! input become a picture on standard output: `… | cargo run --release -p bench --bin plot > a.svg`.
//!
//! Drawn is the ratio to the bare commits of the same run, which is what two machines can compare.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io::{BufRead, stdin};

use serde::Deserialize;

/// What is drawn of a line.
#[derive(Debug, Deserialize)]
struct Point {
    workload: String,
    store: String,
    concurrency: u32,
    ratio_to_limit: Option<f64>,
}

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 60.0;
const BOTTOM: f64 = 50.0;
const TOP: f64 = 40.0;
const RIGHT: f64 = 110.0;
const COLOURS: [&str; 3] = ["#1f6feb", "#bc4c00", "#1a7f37"];

fn main() -> anyhow::Result<()> {
    let mut curves: BTreeMap<String, Vec<(u32, f64)>> = BTreeMap::new();
    for line in stdin().lock().lines() {
        let point: Point = serde_json::from_str(&line?)?;
        if let (Some(ratio), "order5") = (point.ratio_to_limit, point.workload.as_str()) {
            curves
                .entry(point.store)
                .or_default()
                .push((point.concurrency, ratio));
        }
    }
    print!("{}", picture(&curves));
    Ok(())
}

/// The picture: callers from left to right, each place for four times as many; ratios upwards.
fn picture(curves: &BTreeMap<String, Vec<(u32, f64)>>) -> String {
    let all = || curves.values().flatten();
    let most = all().map(|(callers, _)| *callers).max().unwrap_or(1);
    let highest = all().map(|(_, ratio)| *ratio).fold(1.0, f64::max).ceil();
    let span = f64::from(most.max(2)).ln();
    let x = |callers: u32| LEFT + f64::from(callers.max(1)).ln() / span * (WIDTH - LEFT - RIGHT);
    let y = |ratio: f64| HEIGHT - BOTTOM - ratio / highest * (HEIGHT - BOTTOM - TOP);

    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"20\">executions per second, as a multiple of bare commits on the same \
         database</text>\n"
    );
    let mut add = |part: String| {
        let _a_string_takes_it = writeln!(svg, "{part}");
    };
    let right = WIDTH - RIGHT;
    for ratio in 0..=highest as u32 {
        let at = y(f64::from(ratio));
        add(format!(
            "<line x1=\"{LEFT}\" y1=\"{at:.1}\" x2=\"{right}\" y2=\"{at:.1}\" stroke=\"#ddd\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{ratio}x</text>",
            LEFT - 8.0,
            at + 4.0
        ));
    }
    let mut callers: Vec<u32> = all().map(|(callers, _)| *callers).collect();
    callers.sort_unstable();
    callers.dedup();
    for count in callers {
        let (at, below) = (x(count), HEIGHT - BOTTOM + 18.0);
        add(format!(
            "<text x=\"{at:.1}\" y=\"{below}\" text-anchor=\"middle\">{count}</text>"
        ));
    }
    let (middle, foot) = (f64::midpoint(LEFT, right), HEIGHT - 12.0);
    add(format!(
        "<text x=\"{middle}\" y=\"{foot}\" text-anchor=\"middle\">callers at the same time</text>"
    ));
    for ((store, points), colour) in curves.iter().zip(COLOURS) {
        let places = points
            .iter()
            .map(|(callers, ratio)| format!("{:.1},{:.1}", x(*callers), y(*ratio)));
        let places = places.collect::<Vec<_>>().join(" ");
        add(format!(
            "<polyline points=\"{places}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"
        ));
        if let Some((callers, ratio)) = points.last() {
            add(format!(
                "<text x=\"{:.1}\" y=\"{:.1}\" fill=\"{colour}\">{store} {ratio:.1}x</text>",
                x(*callers) + 6.0,
                y(*ratio) + 4.0
            ));
        }
    }
    add(String::from("</svg>"));
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_store_has_its_curve_and_its_last_ratio_is_named() {
        let curves = BTreeMap::from([
            (String::from("postgres"), vec![(1, 0.7), (256, 4.5)]),
            (String::from("sqlite"), vec![(1, 0.7), (256, 9.0)]),
        ]);
        let svg = picture(&curves);
        assert_eq!(svg.matches("<polyline").count(), 2);
        assert!(svg.contains("postgres 4.5x") && svg.contains("sqlite 9.0x") && svg.ends_with("</svg>\n"));
    }
}
