// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.cli;

import dev.weir.node.identity.CertificateAuthority;
import dev.weir.node.identity.Issued;
import dev.weir.node.identity.Listing;
import dev.weir.node.identity.RootSource;
import dev.weir.node.identity.SpiffeId;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.SortedSet;
import java.util.TreeSet;
import java.util.concurrent.Callable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code weir ca}. Each command is a process of its own that ends when it is done. */
@Command(
    name = "ca",
    description = "The built-in certificate authority: short-lived identities for workloads.",
    synopsisSubcommandLabel = "COMMAND",
    subcommands = {
      CaCommand.Init.class,
      CaCommand.Issue.class,
      CaCommand.Rotate.class,
      CaCommand.ListAll.class
    },
    mixinStandardHelpOptions = true)
final class CaCommand implements Runnable {

  @Spec
  @SuppressWarnings("NullAway.Init") // picocli sets it before anything is called
  private CommandSpec spec;

  @Override
  public void run() {
    throw wrong(spec, "which command? init, issue, rotate or list");
  }

  /** The command line is wrong, which picocli shows with the usage. */
  private static CommandLine.ParameterException wrong(CommandSpec command, String why) {
    return new CommandLine.ParameterException(command.commandLine(), why);
  }

  /** Where a root comes from. */
  static final class RootOptions {

    @Option(
        names = "--lifetime",
        paramLabel = "TIME",
        converter = DurationConverter.Lifetime.class,
        description = "How long the root is good for (3650d).")
    private Duration life = CertificateAuthority.ROOT_LIFE;

    @Option(
        names = "--from",
        paramLabel = "FILE",
        description =
            "Take this CA certificate (PEM) instead of making one; if another signed it, with the"
                + " others behind it, up to the self-signed one.")
    private Optional<Path> from = Optional.empty();

    @Option(
        names = "--key",
        paramLabel = "FILE",
        description = "Its key (PEM, PKCS#8, not encrypted), when --from's file does not hold it.")
    private Optional<Path> key = Optional.empty();

    RootSource source(CommandSpec command) {
      if (from.isEmpty() && key.isPresent()) {
        throw wrong(command, "--key: needs the certificate that it belongs to (--from)");
      }
      if (from.isEmpty() && life.compareTo(Duration.ofDays(1)) < 0) {
        throw wrong(command, "--lifetime: a root lives for a day at least");
      }
      return from.<RootSource>map(file -> new RootSource.Given(file, key.orElse(file)))
          .orElseGet(() -> new RootSource.Made(life));
    }
  }

  /** {@code weir ca init}. */
  @Command(
      name = "init",
      description =
          "Make the authority of a trust domain: a root certificate and its key, which stays in the"
              + " state directory.",
      mixinStandardHelpOptions = true)
  static final class Init implements Callable<Integer> {

    @Mixin private CaOptions options = new CaOptions();
    @Mixin private RootOptions root = new RootOptions();

    @Option(
        names = "--policy",
        paramLabel = "DIR",
        description = "Policy files, whose Mesh says which trust domain.")
    private Optional<Path> policy = Optional.empty();

    @Option(
        names = "--trust-domain",
        paramLabel = "NAME",
        description = "The same without policy files.")
    private Optional<String> trustDomain = Optional.empty();

    @Override
    public Integer call() {
      RootSource source = root.source(options.command());
      Optional<CaPolicy> mesh = policy.map(CaPolicy::read);
      String name =
          trustDomain
              .or(() -> mesh.map(CaPolicy::trustDomain))
              .orElseThrow(
                  () ->
                      wrong(
                          options.command(),
                          "which trust domain? --policy DIR or --trust-domain NAME"));
      mesh.filter(m -> !m.trustDomain().equals(name))
          .ifPresent(
              m -> {
                throw wrong(
                    options.command(),
                    "--trust-domain: " + name + ", but " + m.trustDomain() + " by " + m.at());
              });
      Listing made = options.authority().init(name, source);
      options.print(CaReport.json(made), CaReport.text(made));
      return ExitCode.OK;
    }
  }

  /** {@code weir ca issue}. */
  @Command(
      name = "issue",
      description =
          "See to it that service accounts of this node have good certificates: issues what is"
              + " missing, renews what is past two thirds of its life, leaves the rest.",
      mixinStandardHelpOptions = true)
  static final class Issue implements Callable<Integer> {

    @Mixin private CaOptions options = new CaOptions();

    @Parameters(
        paramLabel = "NAMESPACE/ACCOUNT",
        arity = "0..*",
        description = "Service accounts to issue for.")
    private List<String> accounts = List.of();

    @Option(
        names = "--policy",
        paramLabel = "DIR",
        description = "For the service accounts of all workloads on this node in these files.")
    private Optional<Path> policy = Optional.empty();

    @Option(names = "--renew", description = "For all that have a certificate already.")
    private boolean renew;

    @Option(
        names = "--lifetime",
        paramLabel = "TIME",
        converter = DurationConverter.Lifetime.class,
        description = "How long each is good for (24h; 5m to 30d).")
    private Duration life = CertificateAuthority.LEAF_LIFE;

    @Option(names = "--anew", description = "Also those that are not due.")
    private boolean anew;

    @Option(
        names = "--trust-clock",
        description = "This node's clock is right now, and was wrong when it was ahead.")
    private boolean trustClock;

    @Override
    public Integer call() {
      if (accounts.isEmpty() && policy.isEmpty() && !renew) {
        throw wrong(options.command(), "for whom? NAMESPACE/ACCOUNT, --policy DIR or --renew");
      }
      CertificateAuthority authority = options.authority();
      String trustDomain = authority.trustDomain();
      SortedSet<SpiffeId> wanted = new TreeSet<>();
      accounts.forEach(account -> wanted.add(SpiffeId.parse(account, trustDomain)));
      List<String> remarks = new ArrayList<>();
      if (policy.isPresent()) {
        CaPolicy read = CaPolicy.read(policy.get());
        if (!read.trustDomain().equals(trustDomain)) {
          throw new dev.weir.node.kernel.NodeException(
              "the authority is of trust domain "
                  + trustDomain
                  + ", but "
                  + read.at()
                  + " says "
                  + read.trustDomain()
                  + "; make Mesh.spec.trustDomain say the same, or begin anew with another"
                  + " --state-dir");
        }
        wanted.addAll(read.accounts());
        if (!read.without().isEmpty()) {
          remarks.add(
              "no service account, so no identity: "
                  + String.join(", ", read.without())
                  + " (spec.serviceAccountName)");
        }
      }
      Issued issued =
          authority.issue(
              wanted,
              renew,
              policy.isPresent(),
              new CertificateAuthority.Terms(life, anew, trustClock));
      options.print(CaReport.json(issued, remarks), CaReport.text(issued, remarks));
      return ExitCode.OK;
    }
  }

  /** {@code weir ca rotate}. */
  @Command(
      name = "rotate",
      description =
          "Put a new root beside the old one. Both are believed until the old one's leaves have"
              + " ended; leaves follow as they fall due.",
      mixinStandardHelpOptions = true)
  static final class Rotate implements Callable<Integer> {

    @Mixin private CaOptions options = new CaOptions();
    @Mixin private RootOptions root = new RootOptions();

    @Option(
        names = "--after",
        paramLabel = "TIME",
        converter = DurationConverter.Lifetime.class,
        description =
            "It is in the bundle at once and signs this much later: time to give other nodes the"
                + " bundle (0m).")
    private Duration after = Duration.ZERO;

    @Option(
        names = "--overlap",
        paramLabel = "TIME",
        converter = DurationConverter.Lifetime.class,
        description =
            "Believe the old root at least this long after that, for leaves of other nodes that"
                + " this one does not know of (0m).")
    private Duration overlap = Duration.ZERO;

    @Option(
        names = "--distrust",
        description =
            "The old key is known to others: its root is not believed any more from now on, and"
                + " all certificates of this node are issued anew.")
    private boolean distrust;

    @Option(
        names = "--trust-clock",
        description = "This node's clock is right now, and was wrong when it was ahead.")
    private boolean trustClock;

    @Override
    public Integer call() {
      if (distrust && (after.isPositive() || overlap.isPositive())) {
        throw wrong(
            options.command(),
            "--distrust: at once, so neither --after nor --overlap goes with it");
      }
      Listing rotated =
          options
              .authority()
              .rotate(
                  root.source(options.command()),
                  new CertificateAuthority.Rotation(
                      after, overlap, distrust, CertificateAuthority.LEAF_LIFE, trustClock));
      options.print(CaReport.json(rotated), CaReport.text(rotated));
      return ExitCode.OK;
    }
  }

  /** {@code weir ca list}. */
  @Command(
      name = "list",
      description =
          "Roots and certificates, how long they are good for, and what is wrong with them; exit"
              + " status 1 when something is.",
      mixinStandardHelpOptions = true)
  static final class ListAll implements Callable<Integer> {

    @Mixin private CaOptions options = new CaOptions();

    @Override
    public Integer call() {
      Listing listing = options.authority().list();
      options.print(CaReport.json(listing), CaReport.text(listing));
      return listing.good() ? ExitCode.OK : ExitCode.REFUSED;
    }
  }
}
