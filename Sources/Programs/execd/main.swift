import Execd

#if canImport(Glibc)
    import Glibc
#endif

exit(Execd.run(CommandLine.arguments, environment: Execd.environment))
