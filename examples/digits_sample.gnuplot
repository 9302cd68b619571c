# Draws what examples/digits_sample.cpp wrote:  gnuplot -e "folder='build/digits_sample'" examples/digits_sample.gnuplot
set terminal pngcairo size 1500,420 font "Sans,13" background "#ffffff"
set output folder."/digits_sample.png"
set multiplot
set palette gray negative
set cbrange [0:16]
unset colorbox
unset key
unset tics
set border 0
set size ratio -1
set yrange [] reverse
set lmargin 1; set rmargin 1; set tmargin 2.5; set bmargin 0.5

do for [k=1:4] {
  set origin 0.25*(k - 1),0.0; set size 0.25,1
  set title "guidance ".word("0 1 2 4", k)
  plot folder."/guidance".k.".txt" matrix with image pixels
}
unset multiplot
