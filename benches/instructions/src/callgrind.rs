//! Runs this program under callgrind, and reads what the tool wrote.

use std::path::Path;
use std::process::Command;

use crate::figures::{Figure, Figures};
use crate::{COUNTED, Error, meter};

/// The allocator's doors in. What happens behind them is not counted: it is not ours, and not the same everywhere.
const ALLOCATES: [&str; 5] = ["malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc"];
/// The door out.
const FREES: &str = "free";
/// The C library chooses by the processor how it copies; without these it is the same way on all.
const SAME_EVERYWHERE: &str = "glibc.cpu.hwcaps=-AVX_Fast_Unaligned_Load,-AVX2,-AVX,-ERMS,-FSRM,-SSSE3,-SSE4_1,-SSE4_2";

/// Counts the benchmarks whose names contain one of `names`; all if there are none.
pub(crate) fn count(names: &[String]) -> Result<Figures, Error> {
    let program = std::env::current_exe().map_err(|error| Error::File("the program".to_owned(), error))?;
    // It stays: `callgrind_annotate` shows where the instructions are.
    let folder = program.with_file_name("instructions");
    let at = |path: &Path| {
        let path = path.display().to_string();
        move |error| Error::File(path, error)
    };
    if folder.exists() {
        std::fs::remove_dir_all(&folder).map_err(at(&folder))?;
    }
    std::fs::create_dir_all(&folder).map_err(at(&folder))?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--compress-strings=no", "--compress-pos=no"])
        .args([format!("--dump-before={}", meter::BEGIN), format!("--dump-before={}", meter::END)])
        .arg(format!("--callgrind-out-file={}", folder.join("out").display()))
        .arg(&program)
        .arg(COUNTED)
        .args(names)
        .env("GLIBC_TUNABLES", SAME_EVERYWHERE)
        .env("RUST_BACKTRACE", "0")
        .output()
        .map_err(Error::NoValgrind)?;
    if !output.status.success() {
        return Err(Error::Failed(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    let mut figures = Figures::default();
    for (index, line) in String::from_utf8_lossy(&output.stdout).lines().enumerate() {
        let Some((name, operations)) = line.rsplit_once(' ') else { continue };
        // What came between two benchmarks has a file of its own.
        let (written, kept) = (folder.join(format!("out.{}", 2 * index + 2)), folder.join(format!("{name}.out")));
        std::fs::rename(&written, &kept).map_err(at(&written))?;
        let text = std::fs::read_to_string(&kept).map_err(at(&kept))?;
        figures.insert(name, sum(&text).over(operations.parse().unwrap_or(f64::NAN)));
    }
    Ok(figures)
}

/// What was counted in all: the sum at the end of callgrind's file, less what the allocator took.
///
/// `ob=` says in which file of code the next functions are, `cfn=` whom one calls, `calls=` how often, and the line
/// behind that where, and what it cost with all that it led to.
fn sum(text: &str) -> Figure {
    let mut figure = Figure::default();
    let (mut object, mut called) = ("", "");
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(name) = line.strip_prefix("ob=") {
            object = name;
        } else if let Some(name) = line.strip_prefix("cfn=") {
            called = name;
        } else if let Some(calls) = line.strip_prefix("calls=") {
            let cost = lines.next().and_then(|line| line.split(' ').nth(1));
            let allocates = ALLOCATES.contains(&called);
            // The C library's own calls are inside already.
            if (allocates || called == FREES) && !object.contains("/libc.so") {
                figure.instructions -= number(cost);
                figure.allocations += if allocates { number(calls.split(' ').next()) } else { 0.0 };
            }
        } else if let Some(total) = line.strip_prefix("totals: ") {
            figure.instructions += number(Some(total));
        }
    }
    figure
}

fn number(text: Option<&str>) -> f64 {
    text.and_then(|text| text.trim().parse().ok()).unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_allocator_took_is_not_counted_and_how_often_it_was_asked_is() {
        let text = "events: Ir\nob=/x/chappe\nfn=push\n10 4\ncob=/lib/libc.so.6\ncfn=malloc\ncalls=3 7\n11 300\ncfn=free\n\
                    calls=1 9\n12 50\ncfn=memcpy\ncalls=2 1\n13 20\n\nob=/lib/libc.so.6\nfn=realloc\n5 5\ncfn=malloc\n\
                    calls=1 7\n5 100\n\ntotals: 1000\n";
        let figure = sum(text);
        assert_eq!((figure.instructions, figure.allocations), (650.0, 3.0));
    }

    #[test]
    fn what_cannot_be_read_is_no_figure() {
        assert!(sum("totals: many\n").instructions.is_nan());
        assert!(sum("cfn=malloc\ncalls=3 7\n").instructions.is_nan());
    }
}
