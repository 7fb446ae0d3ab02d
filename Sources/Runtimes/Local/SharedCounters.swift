import Logging
import System

/// What the kernel counts for the whole machine, whoever uses it: with a small limit for all, one sandbox would use up what
/// the others need. The limits are raised until a sandbox's own, its memory for one, come first.
enum SharedCounters {
    /// Pseudo terminals of one sandbox.
    static let terminals = 256

    /// Files of /proc/sys and the least that is to be in them. Requests of io_setup(2) take 64 bytes each of the sandbox's
    /// memory: a thousand million of them never are there. Of terminals the kernel has no more than a million.
    private static let least: [(file: String, number: Int)] = [
        ("fs/aio-max-nr", 1 << 30), ("kernel/pty/max", 1 << 20),
    ]

    static func raise(_ logger: Logger) {
        for (file, number) in least {
            let path = "/proc/sys/" + file
            let text = File.text(path) ?? ""
            guard let now = Int(text.prefix { $0.isNumber }), now < number else { continue }
            SandboxLink.write("\(number)", to: path)
            logger.info(
                "raised a limit of the machine that sandboxes share",
                metadata: ["limit": "\(file)", "from": "\(now)", "to": "\(number)"])
        }
    }
}
