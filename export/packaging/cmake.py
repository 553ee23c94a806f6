"""A CMake target: add_subdirectory the folder, link sparsectl::policy."""

from __future__ import annotations

from sparsectl.export.packaging.example import c_main
from sparsectl.export.packaging.package import Files, Package, PolicySources

_LISTS = """\
# add_subdirectory(THIS_FOLDER) and target_link_libraries(yours PRIVATE sparsectl::{{policy}}).
# Configured by itself it builds the example too, which replays the golden vectors: ctest.
cmake_minimum_required(VERSION 3.16)
project(sparsectl_{{policy}} LANGUAGES {{languages}})

add_library(sparsectl_{{policy}} STATIC {{sources}})
add_library(sparsectl::{{policy}} ALIAS sparsectl_{{policy}})
target_include_directories(sparsectl_{{policy}} PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
set_target_properties(sparsectl_{{policy}} PROPERTIES C_STANDARD 99 C_STANDARD_REQUIRED ON)
if(CMAKE_C_COMPILER_ID MATCHES "GNU|Clang")
  # Each product and sum rounded by itself, as {{policy}}.c wants it.
  target_compile_options(sparsectl_{{policy}} PRIVATE $<$<COMPILE_LANGUAGE:C>:-ffp-contract=off>)
endif()

if(CMAKE_SOURCE_DIR STREQUAL CMAKE_CURRENT_SOURCE_DIR)
  enable_testing()
  add_executable(golden_vectors examples/golden_vectors.c)
  target_link_libraries(golden_vectors PRIVATE sparsectl::{{policy}})
  add_test(NAME golden_vectors COMMAND golden_vectors)
endif()
"""


def layout(policy: PolicySources) -> Files:
    languages = "C ASM" if any(name.endswith(".S") for name in policy.sources) else "C"
    lists = policy.style.render(_LISTS, languages=languages, sources=" ".join(policy.sources))
    example = {"CMakeLists.txt": lists, "examples/golden_vectors.c": c_main(policy.style)}
    return {**policy.c_files, **example}


CMAKE = Package("cmake", "a CMake target with a test", layout)
