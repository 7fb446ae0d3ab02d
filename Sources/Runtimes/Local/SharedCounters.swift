import Logging
import System

/// Limits that the kernel has for the whole machine, so that one sandbox could use up what others need. They are raised
/// until a sandbox's own limits, such as memory, apply first.
enum SharedCounters {
    /// Pseudo terminals per sandbox.
    static let terminals = 256

    /// Files of /proc/sys and their least values. Requests of io_setup(2) take 64 bytes each of the sandbox's memory,
    /// so a thousand million are never reached. The kernel allows at most a million terminals.
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
