/// How much Linux passes to a program that starts (execve(2), "Limits on size of arguments and environment").
enum ProcessTexts {
    /// Bytes of one argument, or of `NAME=value`: MAX_ARG_STRLEN without the NUL.
    static let longest = (128 << 10) - 1
    /// Bytes of all: half of what the kernel takes with the usual stack, since commands get the same variables and have arguments
    /// of their own.
    static let most = 1 << 20

    /// What no program could be started with; nil where it can.
    static func problem(entrypoint: [String], environment: [String: String]) -> String? {
        var total = 0
        for text in entrypoint {
            guard text.utf8.count <= longest else {
                return
                    "entrypoint: an argument has \(text.utf8.count) bytes; Linux passes at most \(longest) to a process"
            }
            total += text.utf8.count
        }
        for (name, value) in environment {
            let size = name.utf8.count + value.utf8.count + 1
            guard size <= longest else {
                return
                    "env: \(name.prefix(80)) has \(size) bytes with its name; Linux passes at most \(longest) to a process"
            }
            total += size
        }
        // A NUL and a pointer each.
        total += 9 * (entrypoint.count + environment.count)
        return total > most
            ? "entrypoint and env are \(total) bytes together; use at most \(most), and files for more" : nil
    }
}
