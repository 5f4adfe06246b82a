// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.node.bpf.SystemCalls;
import dev.weir.policy.plan.Protocol;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.BitSet;
import java.util.Optional;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/** In a network namespace of the test's own: the setting belongs to the namespace. */
@Tag("kernel")
final class ReservedPortsTest {

  private static final Path RESERVED = Path.of("/proc/sys/net/ipv4/ip_local_reserved_ports");
  private static final Path RANGE = Path.of("/proc/sys/net/ipv4/ip_local_port_range");
  private static final int PAGE = 4096;

  @RegisterExtension final KernelTest kernel = new KernelTest();

  private Path namespace() {
    return Path.of("/run/netns", kernel.netns());
  }

  private String reserved() {
    return SystemCalls.in(namespace(), ReservedPortsTest::readAtOnce);
  }

  private static String readAtOnce() {
    ByteBuffer buffer = ByteBuffer.allocate(1 << 19);
    try (FileChannel channel = FileChannel.open(RESERVED, StandardOpenOption.READ)) {
      int length = Math.max(0, channel.read(buffer));
      return new String(buffer.array(), 0, length, StandardCharsets.US_ASCII).strip();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private void set(Path setting, String value) {
    SystemCalls.in(
        namespace(),
        () -> {
          try {
            return Files.writeString(setting, value);
          } catch (IOException e) {
            throw new UncheckedIOException(e);
          }
        });
  }

  private PlanBuilder owning(int... ports) {
    PlanBuilder plan = kernel.plan().workload("db");
    for (int port : ports) {
      plan.owns("db", Protocol.TCP, port);
    }
    return plan;
  }

  @Test
  void eachGenerationReservesItsPortsBesideThoseOfOthersAndDownTakesThemBack() {
    set(RESERVED, "5000,8000-8002");
    kernel.apply(owning(5432, 5433, 8001).build());
    assertThat(reserved()).isEqualTo("5000,5432-5433,8000-8002");
    kernel.apply(owning(6000).build());
    assertThat(reserved()).isEqualTo("5000,6000,8000-8002");
    kernel.node().down();
    assertThat(reserved()).isEqualTo("5000,8000-8002");
    kernel.node().down();
    assertThat(reserved()).isEqualTo("5000,8000-8002");
  }

  @Test
  void whatSomebodyReservesMeanwhileStaysReserved() {
    kernel.apply(owning(5432).build());
    set(RESERVED, "5432,7000");
    kernel.apply(owning(5433).build());
    assertThat(reserved()).isEqualTo("5433,7000");
    kernel.node().down();
    assertThat(reserved()).isEqualTo("7000");
  }

  @Test
  void untilConfirmedThePortsOfTheGenerationBeforeStayReserved() {
    kernel.apply(owning(5432).build());
    kernel.apply(owning(6000).build(), Duration.ofMinutes(1));
    assertThat(reserved()).isEqualTo("5432,6000");
    kernel.node().confirm();
    assertThat(reserved()).isEqualTo("6000");
  }

  @Test
  void whoeverWasKilledBeforeItToldTheKernelIsUndoneByDown() throws IOException {
    set(RESERVED, "5000");
    kernel.apply(owning(5432).build());
    Path file = kernel.places().runDir().resolve("reserved-ports");
    String written = Files.readString(file);
    // Written down for the next generation, and not yet done.
    Files.writeString(file, written.replace("5432", "5432,6000"));
    kernel.node().down();
    assertThat(reserved()).isEqualTo("5000");

    // Done, and the run directory not yet removed.
    Files.createDirectories(kernel.places().runDir());
    Files.writeString(file, written);
    kernel.node().down();
    assertThat(reserved()).isEqualTo("5000");
    assertThat(kernel.places().runDir()).doesNotExist();
  }

  @Test
  void aListLongerThanAPageIsWrittenWhole() {
    BitSet odd = new BitSet();
    for (int port = 20_001; port < 40_000; port += 2) {
      odd.set(port);
    }
    String text = ReservedPorts.format(odd);
    assertThat(text.length()).isGreaterThan(10 * PAGE);
    ReservedPorts ports =
        new ReservedPorts(
            kernel.places().cgroupRoot().resolve("nowhere"), Optional.of(namespace()));
    // Its file cannot be written there: then nothing may be reserved that nobody would undo.
    assertThat(ports.reserve(odd)).isPresent();
    assertThat(reserved()).isEmpty();

    DurableFile.makeDirectory(kernel.places().runDir());
    ports =
        new ReservedPorts(
            kernel.places().runDir().resolve("reserved-ports"), Optional.of(namespace()));
    assertThat(ports.reserve(odd)).isEmpty();
    assertThat(ReservedPorts.parse(reserved())).isEqualTo(odd);
    ports.restore();
    assertThat(reserved()).isEmpty();
  }

  @Test
  void noSocketGetsADeclaredPortWithoutAskingForIt() {
    // One port is left to give away, and it is declared.
    set(RANGE, "40000 40000");
    kernel.serve("", "listen", "127.0.0.1", "9000");
    assertThat(kernel.connect("web", "127.0.0.1", 9000)).isEqualTo("ok");
    assertThat(kernel.run("web", "bind", "127.0.0.1", "0").number("port")).isEqualTo(40000);
    kernel.apply(owning(40000).workload("web").build());
    for (String who : new String[] {"web", "db", "undeclared"}) {
      assertThat(kernel.connect(who, "127.0.0.1", 9000)).isEqualTo("EADDRNOTAVAIL");
      assertThat(kernel.run(who, "bind", "127.0.0.1", "0").text("result")).isEqualTo("EADDRINUSE");
      assertThat(kernel.run(who, "bind", "::1", "0", "--udp").text("result"))
          .isEqualTo("EADDRINUSE");
      assertThat(kernel.run(who, "sendto", "127.0.0.1", "9000").text("result")).isNotEqualTo("ok");
    }
    assertThat(kernel.run("db", "bind", "127.0.0.1", "40000").text("result")).isEqualTo("ok");
    kernel.node().down();
    assertThat(kernel.run("web", "bind", "127.0.0.1", "0").number("port")).isEqualTo(40000);
  }
}
