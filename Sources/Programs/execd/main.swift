import Execd
import System

#if canImport(Glibc)
    import Glibc
#endif

TaskThreads.install()
exit(Execd.run(CommandLine.arguments, environment: Execd.environment))
