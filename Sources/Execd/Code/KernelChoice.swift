/// Which kernel a new context gets.
enum KernelChoice {
    static func kernel(
        _ language: KernelLanguage, folder: String?, runner: CommandRunner
    ) async throws -> any CodeKernel {
        let dialogue: any DriverDialogue
        switch language {
        case .python: dialogue = PythonDialogue()
        case .bash: dialogue = ShellCodeDialogue(shell: runner.environment.shell)
        case .java, .javascript, .typescript, .go:
            throw ExecdError.failed(
                "\(language.rawValue) needs a Jupyter server with a kernel for it, and none is configured "
                    + "(JUPYTER_HOST); without one there are python and bash")
        }
        let kernel = ProcessKernel(dialogue, folder: folder, runner: runner)
        do {
            try await SpawnThreads.run { try kernel.prepare() }
        } catch let error as SpawnError {
            throw ExecdError.failed("\(language.rawValue) does not start: \(error)")
        }
        return kernel
    }
}
