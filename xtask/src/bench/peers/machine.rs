//! What the machine is, without its name.

use std::fs;

use super::figures::Machine;

pub(super) fn machine() -> Machine {
    let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
    Machine {
        cores: std::thread::available_parallelism().map_or(0, usize::from),
        processor: processor(&read("/proc/cpuinfo")),
        memory_gib: memory_gib(&read("/proc/meminfo")),
        system: format!("{}, {}", std::env::consts::OS, std::env::consts::ARCH),
    }
}

fn processor(cpuinfo: &str) -> String {
    let model = cpuinfo.lines().find_map(|line| Some(line.strip_prefix("model name")?.split_once(':')?.1));
    model.map_or_else(|| "an unknown processor".to_owned(), |model| model.trim().to_owned())
}

fn memory_gib(meminfo: &str) -> u64 {
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib: Option<u64> = total.and_then(|total| total.split_whitespace().next()?.parse().ok());
    kib.unwrap_or_default() >> 20
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_and_memory_are_what_the_kernel_says() {
        let cpuinfo =
            "processor\t: 0\nmodel name\t: Some CPU @ 2.0GHz\n\nprocessor\t: 1\nmodel name\t: Another\n";
        assert_eq!(processor(cpuinfo), "Some CPU @ 2.0GHz");
        assert_eq!(processor(""), "an unknown processor");
        assert_eq!(memory_gib("MemTotal:       24575848 kB\nMemFree: 1 kB\n"), 23);
        assert_eq!(memory_gib(""), 0);
    }
}
