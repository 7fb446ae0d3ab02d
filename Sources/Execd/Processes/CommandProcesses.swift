import System

#if canImport(Glibc)
    import Glibc
#endif

/// Finds all processes started by commands, directly or not, whatever their parent is by now: they have the OOM score
/// of commands, which nothing inside can lower.
///
/// While a process waits for memory, some of its files in /proc cannot be read (`cmdline`, `environ`, `maps`). Those
/// read here can.
enum CommandProcesses {
    /// How many processes each process group has.
    static func groups(in folder: String = "/proc") -> [pid_t: Int] {
        var groups: [pid_t: Int] = [:]
        for pid in ProcessNumbers.all(in: folder) {
            guard File.text("\(folder)/\(pid)/oom_score_adj") == "\(Rank.command.rawValue)\n",
                let group = File.text("\(folder)/\(pid)/stat").flatMap(ProcessStat.group(in:))
            else { continue }
            groups[group, default: 0] += 1
        }
        return groups
    }
}
