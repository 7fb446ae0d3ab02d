import Spelling
import System

#if canImport(Glibc)
    import Glibc
#endif

/// The daemon inside a sandbox.
package enum Execd {
    /// The variables of this process.
    package static var environment: [ExactName: String] {
        var found: [ExactName: String] = [:]
        var next = environ
        while let entry = next.pointee {
            let text = String(cString: entry).unicodeScalars
            if let sign = text.firstIndex(of: "=") {
                found[ExactName(String(text[..<sign]))] = String(text[sign...].dropFirst())
            }
            next += 1
        }
        return found
    }

    /// Runs the program and returns its exit code. `environment` is the environment of commands.
    ///
    /// Not asynchronous, because init waits for signals on the main thread, and an asynchronous main would end that
    /// thread with pthread_exit, which unwinds its stack. In a static executable unwinding first sorts the whole frame
    /// table, which would add 20 ms to the start of every sandbox.
    package static func run(_ arguments: [String], environment: [ExactName: String]) -> Int32 {
        var options: Options
        do throws(Options.OptionError) {
            options = try Options.parse(program: arguments)
        } catch {
            Bootstrap.complain("\(error)\n\(Options.usage)")
            return 2
        }
        if let line = options.answer {
            write(STDOUT_FILENO, line, line.utf8.count)
            return 0
        }
        switch options.part {
        case .sessionStarter: return SessionStarter.run(options)
        case .session: return SessionProcess.run(options)
        case nil: break
        }
        if let descriptor = options.variablesTo {
            return (try? File.write(VariableList.bytes(environment), to: descriptor)) == nil ? 1 : 0
        }
        var environment = environment
        if let path = options.variablesFile {
            do throws(SystemCallError) {
                let told = VariableList.parse(try File.read(path, limit: VariableList.maxBytes))
                environment.merge(told) { _, new in new }
            } catch {
                Bootstrap.complain("cannot read \(path): \(error)")
                return 2
            }
        }
        environment.merge(options.variables) { _, new in new }
        if !options.serves {
            // With a socket or an address of its own the sandbox shares a network, where others may listen.
            if options.listener == nil, options.address == nil { options.sidecar = .found() }
            let problems = Setting.problems(in: environment)
            for problem in problems { Bootstrap.complain(problem.description) }
            guard !problems.contains(where: \.isFatal) else { return 2 }
            do throws(IsolationSettings.Refusal) { _ = try IsolationSettings.read(environment) } catch {
                Bootstrap.complain(error.description)
                return 2
            }
        }
        guard options.serves || options.entrypoint.isEmpty && !options.isInit else {
            return SandboxInit.run(options, executable: "/proc/self/exe", environment: environment)
        }
        if !options.serves, let file = environment[Setting.environmentFile.name] { Bootstrap.prepare(file) }
        return serveUntilTold(options, environment)
    }

    /// Serves the API until a signal asks it to end, or for ever.
    private static func serveUntilTold(_ options: Options, _ environment: [ExactName: String]) -> Int32 {
        EndSignals.install()
        signal(SIGPIPE, SIG_IGN)
        let begun = Task.detached {
            do {
                let service = try await Service.start(options, environment: environment)
                await ReadinessListener.start(environment, on: service.group)
                return service
            } catch {
                Bootstrap.complain("\(error)")
                exit(1)
            }
        }
        EndSignals.waitForNext()
        // Another one ends it at once.
        for number in [SIGTERM, SIGINT] { signal(number, SIG_DFL) }
        let ended = Semaphore()
        Task.detached {
            await begun.value.end()
            ended.signal()
        }
        ended.wait()
        return 0
    }
}
