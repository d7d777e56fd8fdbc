//! `plot`: figures also for others who have rows `series,x,y`.

use std::fs;
use std::path::PathBuf;

use chappe_plot::{Figure, Series};

use crate::trouble::Trouble;

/// What to draw.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Above the figure.
    #[arg(long)]
    title: String,
    /// Below it.
    #[arg(long, value_name = "LABEL")]
    x: String,
    /// Beside it.
    #[arg(long, value_name = "LABEL")]
    y: String,
    /// x grows by factors.
    #[arg(long)]
    log_x: bool,
    /// y grows by factors.
    #[arg(long)]
    log_y: bool,
    /// Rows `series,x,y`. A first row with these three words is passed over. Bars are drawn where an x is no number.
    input: PathBuf,
    /// Where the figure goes.
    output: PathBuf,
}

/// Draws a figure of a file.
pub(crate) fn run(args: &Args) -> Result<(), Trouble> {
    let text = fs::read_to_string(&args.input).map_err(Trouble::machine("read the rows"))?;
    let (title, x, y) = (args.title.clone(), args.x.clone(), args.y.clone());
    let figure = Figure { title, x, y, log_x: args.log_x, log_y: args.log_y, series: series(&text)? };
    fs::write(&args.output, figure.svg()).map_err(Trouble::machine("write the figure"))
}

/// The series of rows, each with a colour of its own.
fn series(text: &str) -> Result<Vec<Series>, Trouble> {
    let mut found: Vec<Series> = Vec::new();
    let rows = text.lines().enumerate().filter(|(_, row)| !row.trim().is_empty() && row.trim() != "series,x,y");
    for (at, row) in rows {
        let mut fields = row.rsplitn(3, ',').map(str::trim);
        let (Some(y), Some(x), Some(name)) = (fields.next().and_then(|y| y.parse().ok()), fields.next(), fields.next())
        else {
            return Err(Trouble::Input(format!("row {}: not series,x,y: {row}", at + 1)));
        };
        let point = (x.to_owned(), y);
        match found.iter_mut().find(|series| series.name == name) {
            Some(series) => series.points.push(point),
            None => found.push(Series { name: name.to_owned(), colour: found.len(), points: vec![point] }),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(rows: &str) -> String {
        Figure { log_y: true, series: series(rows).unwrap(), title: "a < b".to_owned(), ..Figure::default() }.svg()
    }

    #[test]
    fn numbers_make_lines_and_names_make_bars() {
        let lines = drawn("series,x,y\nsend,10,3.5\nsend,100,4\nread, big,10,1\n");
        assert_eq!((lines.matches("<polyline").count(), lines.matches("<circle").count()), (2, 3));
        assert!(lines.contains("a &lt; b") && lines.contains(">read, big</text>"));
        let bars = drawn("nats,fan-out,3\nredis,fan-out,4\nnats,acks,5\n");
        // Three bars; two marks of the legend and the paper.
        assert_eq!((bars.matches("<polyline").count(), bars.matches("<rect").count()), (0, 3 + 2 + 1));
    }

    #[test]
    fn a_row_that_is_none_is_named() {
        let refused = series("a,1,2\nb,1,much\n").unwrap_err().to_string();
        assert!(refused.contains("row 2"), "{refused}");
    }
}
