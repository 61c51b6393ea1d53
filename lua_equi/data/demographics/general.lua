--- General words (S of the paper): a gendered meaning, but no one-to-one partner.
return {"he", "she", "his", "her", "him"}
