import Spelling

/// Limits of Linux for a program's arguments and environment (execve(2), "Limits on size of arguments and
/// environment").
enum ProcessTexts {
    /// The longest argument or `NAME=value` in bytes: MAX_ARG_STRLEN without the NUL.
    static let maxText = (128 << 10) - 1
    /// The most bytes together: half of the kernel's limit with the usual stack, since commands get the same variables
    /// and their own arguments.
    static let maxTotal = 1 << 20

    /// Describes why no program could be started with these; nil if one can.
    static func problem(entrypoint: [String], environment: [ExactName: String]) -> String? {
        var total = 0
        for text in entrypoint {
            guard text.utf8.count <= maxText else {
                return
                    "entrypoint: an argument has \(text.utf8.count) bytes; Linux passes at most \(maxText) to a process"
            }
            total += text.utf8.count
        }
        for (name, value) in environment {
            let size = name.text.utf8.count + value.utf8.count + 1
            guard size <= maxText else {
                return
                    "env: \(name.text.prefix(80)) has \(size) bytes with its name; Linux passes at most \(maxText) to a process"
            }
            total += size
        }
        // Each has a NUL and a pointer.
        total += 9 * (entrypoint.count + environment.count)
        return total > maxTotal
            ? "entrypoint and env are \(total) bytes together; use at most \(maxTotal), and files for more" : nil
    }
}
