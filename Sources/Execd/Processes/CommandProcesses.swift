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
        guard let directory = opendir(folder) else { return [:] }
        defer { closedir(directory) }
        var groups: [pid_t: Int] = [:]
        while let entry = readdir(directory) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            guard pid_t(name) != nil,
                File.text("\(folder)/\(name)/oom_score_adj") == "\(Rank.command.rawValue)\n",
                let group = File.text("\(folder)/\(name)/stat").flatMap(group(ofStat:))
            else { continue }
            groups[group, default: 0] += 1
        }
        return groups
    }

    /// The fifth field (proc(5)). The second, the program's name in parentheses, may contain anything, including
    /// parentheses and spaces.
    static func group(ofStat text: String) -> pid_t? {
        guard let end = text.lastIndex(of: ")") else { return nil }
        let fields = text[end...].split(separator: " ")
        return fields.count > 3 ? pid_t(fields[3]) : nil
    }
}
