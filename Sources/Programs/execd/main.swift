import Execd
import FoundationEssentials

#if canImport(Glibc)
    import Glibc
#endif

exit(await Execd.run(CommandLine.arguments, environment: ProcessInfo.processInfo.environment))
