import Client
import ProgramSupport
import System

#if canImport(Glibc)
    import Glibc
#endif

/// Shows whoever waits at a terminal that something goes on. Nothing is shown in pipes and files, nor where a line cannot be redrawn.
enum Progress {
    private static let interval = Duration.milliseconds(500)

    /// - Parameter isWanted: whether there is anything to wait for.
    static func during<Result>(
        _ what: String, isWanted: Bool = true, _ body: () async throws -> Result
    ) async throws -> Result {
        guard isWanted, let columns = columns() else { return try await body() }
        let text = ProgressText(what, columns: columns), begun = ContinuousClock.now
        let drawing = Task {
            var isShown = false
            while true {
                // What is over at once is not worth a line.
                do { try await Task.sleep(for: interval) } catch { return isShown }
                Self.write(text.line(seconds: (ContinuousClock.now - begun).components.seconds))
                isShown = true
            }
        }
        func end() async {
            drawing.cancel()
            if await drawing.value { Self.write(ProgressText.end) }
        }
        do {
            let result = try await body()
            await end()
            return result
        } catch {
            await end()
            throw error
        }
    }

    /// Of the terminal of standard error; nil where that is none that redraws.
    private static func columns() -> Int? {
        guard Console.isScreen(STDERR_FILENO) else { return nil }
        var size = winsize()
        guard ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 80 }
        return Int(size.ws_col)
    }

    private static func write(_ text: String) { try? File.write(Array(text.utf8), to: STDERR_FILENO) }
}
