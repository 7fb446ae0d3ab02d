import Execd
import FoundationEssentials

#if canImport(Glibc)
    import Glibc
#endif

exit(Execd.run(CommandLine.arguments, environment: ProcessInfo.processInfo.environment))
