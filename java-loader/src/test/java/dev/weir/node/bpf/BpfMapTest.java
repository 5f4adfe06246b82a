// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.bpf;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.ByteBuffer;
import java.util.Map;
import java.util.TreeMap;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

@Tag("kernel")
final class BpfMapTest {

  @BeforeEach
  void mayMakeMaps() {
    try (BpfMap map = BpfMap.create(BpfMap.Type.ARRAY, "weir_probe", 4, 8, 1, 0)) {
      assertThat(map.id()).isPositive();
    } catch (BpfException e) {
      if ("true".equals(System.getenv("CI"))) {
        throw e;
      }
      Assumptions.abort(String.valueOf(e.getMessage()));
    }
  }

  private static Map<Integer, Long> contents(BpfMap map) {
    Map<Integer, Long> contents = new TreeMap<>();
    map.forEach((key, value) -> contents.put(key.getInt(0), value.getLong(0)));
    return contents;
  }

  @Test
  void entriesComeAndGo() {
    try (BpfMap map = BpfMap.create(BpfMap.Type.HASH, "weir_test", 4, 8, 10, 0)) {
      ByteBuffer key = map.newKey().putInt(0, 7);
      ByteBuffer value = map.newValue();
      assertThat(map.lookup(key, value)).isFalse();
      map.update(key, value.putLong(0, 42));
      assertThat(map.lookup(key, value.putLong(0, 0))).isTrue();
      assertThat(value.getLong(0)).isEqualTo(42);
      assertThat(map.delete(key)).isTrue();
      assertThat(map.delete(key)).isFalse();
    }
  }

  @Test
  void aBatchIsReadBackWhole() {
    int count = 10_000;
    try (BpfMap map =
        BpfMap.create(BpfMap.Type.HASH, "weir_test", 4, 8, count, BpfMap.NO_PREALLOC)) {
      ByteBuffer keys = BpfMap.newBuffer(4 * count);
      ByteBuffer values = BpfMap.newBuffer(8 * count);
      Map<Integer, Long> expected = new TreeMap<>();
      for (int i = 0; i < count; i++) {
        keys.putInt(4 * i, i * 3);
        values.putLong(8 * i, -i);
        expected.put(i * 3, (long) -i);
      }
      map.updateAll(keys, values, count);
      assertThat(contents(map)).isEqualTo(expected);
    }
  }

  @Test
  void aFullMapNamesItselfAndTheCall() {
    try (BpfMap map = BpfMap.create(BpfMap.Type.HASH, "weir_small", 4, 8, 1, 0)) {
      map.update(map.newKey(), map.newValue());
      assertThatThrownBy(() -> map.update(map.newKey().putInt(0, 1), map.newValue()))
          .isInstanceOf(BpfException.class)
          .hasMessageContaining("bpf_map_update_elem(weir_small): E2BIG");
    }
  }

  @Test
  void perCpuValuesLieEightBytesAligned() {
    try (BpfMap map = BpfMap.create(BpfMap.Type.PERCPU_ARRAY, "weir_test", 4, 4, 1, 0)) {
      assertThat(map.perCpuStride()).isEqualTo(8);
      ByteBuffer value = map.newValue();
      assertThat(value.capacity()).isEqualTo(8 * BpfMap.possibleCpus());
      for (int cpu = 0; cpu < BpfMap.possibleCpus(); cpu++) {
        value.putInt(cpu * 8, cpu + 1);
      }
      map.update(map.newKey(), value);
      ByteBuffer read = map.newValue();
      assertThat(map.lookup(map.newKey(), read)).isTrue();
      assertThat(read).isEqualTo(value);
    }
  }

  @Test
  void theLongestPrefixIsFound() {
    try (BpfMap map =
        BpfMap.create(BpfMap.Type.LPM_TRIE, "weir_test", 8, 8, 10, BpfMap.NO_PREALLOC)) {
      ByteBuffer keys = BpfMap.newBuffer(16);
      keys.putInt(0, 8).put(4, new byte[] {10, 0, 0, 0});
      keys.putInt(8, 24).put(12, new byte[] {10, 1, 2, 0});
      ByteBuffer values = BpfMap.newBuffer(16).putLong(0, 8).putLong(8, 24);
      map.updateAll(keys, values, 2);
      ByteBuffer key = map.newKey().putInt(0, 32).put(4, new byte[] {10, 1, 2, 3});
      ByteBuffer value = map.newValue();
      assertThat(map.lookup(key, value)).isTrue();
      assertThat(value.getLong(0)).isEqualTo(24);
      assertThat(map.lookup(key.put(5, (byte) 9), value)).isTrue();
      assertThat(value.getLong(0)).isEqualTo(8);
    }
  }

  @Test
  void aMappedWordIsWhatProgramsRead() {
    try (BpfMap map = BpfMap.create(BpfMap.Type.ARRAY, "weir_test", 4, 8, 1, BpfMap.MMAPABLE);
        BpfMap.Word word = map.word()) {
      word.set(0x1122334455667788L);
      ByteBuffer value = map.newValue();
      assertThat(map.lookup(map.newKey(), value)).isTrue();
      assertThat(value.getLong(0)).isEqualTo(0x1122334455667788L);
      map.update(map.newKey(), value.putLong(0, -1));
      assertThat(word.get()).isEqualTo(-1);
    }
  }

  @Test
  void everyElementOfAnArrayIsThere() {
    try (BpfMap map =
        BpfMap.create(BpfMap.Type.ARRAY, "weir_large", 4, 8, 1000, BpfMap.INNER_MAP)) {
      assertThat(map.maxEntries()).isEqualTo(1000);
      assertThat(contents(map)).hasSize(1000);
    }
  }

  @Test
  void aBufferThatIsTooShortNeverReachesTheKernel() {
    try (BpfMap map = BpfMap.create(BpfMap.Type.ARRAY, "weir_test", 4, 8, 1, 0)) {
      assertThatThrownBy(() -> map.lookup(map.newKey(), BpfMap.newBuffer(4)))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessageContaining("value of 4 bytes (expected: direct, 8)");
      assertThatThrownBy(() -> map.lookup(ByteBuffer.allocate(4), map.newValue()))
          .isInstanceOf(IllegalArgumentException.class);
    }
  }

  @Test
  void aClosedMapIsNotUsed() {
    BpfMap map = BpfMap.create(BpfMap.Type.ARRAY, "weir_test", 4, 8, 1, 0);
    map.close();
    map.close();
    assertThatThrownBy(() -> map.lookup(map.newKey(), map.newValue()))
        .isInstanceOf(IllegalStateException.class);
  }
}
