# Run after a GoogleTest program was built, as a script: writes the file by which ctest knows one test a suite.
# A process a case would spend more time on opening LibTorch than on testing.
#   cmake -D PROGRAM=... -D FOLDER=... -D INTO=... [-D PROPERTIES=...] -P gtest_suites.cmake
execute_process(COMMAND "${PROGRAM}" --gtest_list_tests WORKING_DIRECTORY "${FOLDER}"
  OUTPUT_VARIABLE listed RESULT_VARIABLE failed TIMEOUT 60)
if(failed)
  file(REMOVE "${PROGRAM}")  # so that the next build asks again
  message(FATAL_ERROR "${PROGRAM} could not list its tests: ${failed}\n${listed}")
endif()

cmake_path(GET PROGRAM STEM area)
string(REGEX REPLACE "^gamut_(.*)_test$" "\\1" area "${area}")
set(text "")
string(REGEX MATCHALL "(^|\n)[^ \n][^\n ]*\\." suites "${listed}")
foreach(suite IN LISTS suites)
  string(STRIP "${suite}" suite)
  string(REGEX REPLACE "\\.$" "" name "${area}.${suite}")
  string(APPEND text "add_test([==[${name}]==] \"${PROGRAM}\" \"--gtest_filter=${suite}*\")\n"
    "set_tests_properties([==[${name}]==] PROPERTIES WORKING_DIRECTORY \"${FOLDER}\" ${PROPERTIES})\n")
endforeach()
if(text STREQUAL "")
  message(FATAL_ERROR "${PROGRAM} has no tests.")
endif()
file(WRITE "${INTO}" "${text}")
